"""Each change emits its event: read from the outbox of a server without a worker."""

import hashlib
from typing import Any

from mediaservice.v1 import access_service_pb2 as access
from mediaservice.v1 import media_pb2, policy_service_pb2, upload_service_pb2

from media_service.db.database import Database
from media_service.media import queries
from media_service.media.model import Scan, ScanState
from media_service.scanning.results import record
from tests.support.media.small_files import jpeg
from tests.support.rpc import jobs, share_links
from tests.support.rpc.catalogue import delete, purge, undelete, update
from tests.support.rpc.policies import set_policy
from tests.support.rpc.quotas import set_quota
from tests.support.rpc.server import Caller, Running
from tests.support.rpc.sharing import (
    add_member,
    create_group,
    create_organization,
    create_project,
    grant,
    make_administrator,
    remove_member,
    revoke,
    store_in,
)

SHA256 = hashlib.sha256(b"blocked").hexdigest()


class Outbox:
    def __init__(self, service: Running) -> None:
        self._service = service
        self._seen = 0

    async def events(self) -> list[dict[str, Any]]:
        """What was added since the last call."""
        async with self._service.database() as db:
            rows = await db.execute(
                "select position, event from event_outbox where position > %s order by position",
                (self._seen,),
            )
            found = await rows.fetchall()
        if found:
            self._seen = found[-1][0]
        return [event for _, event in found]

    async def types(self) -> list[str]:
        return [event["type"] for event in await self.events()]

    async def run(self, statement: str, *params: Any) -> list[str]:
        async with self._service.database() as db:
            await db.execute(statement.encode(), params)
        return await self.types()


async def test_uploads(service: Running, ann: Caller) -> None:
    outbox = Outbox(service)
    media = await ann.store(jpeg())
    created, finished = sorted(await outbox.events(), key=lambda event: event["type"])
    assert (created["type"], finished["type"]) == ("media.created", "upload.finished")
    assert created["sequence"] == 1
    assert finished["data"]["mediaId"] == media.media_id
    aborted = await ann.create(filename="a.jpg")
    assert await outbox.types() == ["upload.created"]
    request = upload_service_pb2.AbortUploadRequest(upload_id=aborted.upload_id)
    await ann.call(ann.uploads.AbortUpload, request)
    assert await outbox.types() == ["upload.aborted"]
    session = (await ann.create(filename="a.jpg")).upload_id
    message = upload_service_pb2.WriteUploadRequest(upload_id=session, data=jpeg(), finish=True)
    await ann.write([message])
    assert await outbox.types() == ["upload.created", "upload.finished", "media.created"]
    ended = (await ann.create(filename="a.jpg")).upload_id
    await outbox.types()
    for state, told in {"FAILED": "upload.failed", "EXPIRED": "upload.expired"}.items():
        changed = "update uploads set state = %s where upload_id = %s"
        assert await outbox.run(changed, state, ended) == [told]


async def test_media(service: Running, ann: Caller) -> None:
    outbox = Outbox(service)
    media_id = (await ann.store(jpeg())).media_id
    await outbox.types()
    await update(ann, ["title"], media_id=media_id, title="x")
    assert await outbox.types() == ["media.updated"]
    request = access.TransferMediaRequest(
        media_id=media_id, owner=media_pb2.Owner(type="user", id="ann")
    )
    await ann.call(ann.access.TransferMedia, request)
    assert await outbox.types() == ["media.transferred"]
    change = "update media set state = %s, error_reason = 'THREAT_FOUND' where media_id = %s"
    told = {"READY": "media.ready", "FAILED": "media.failed", "QUARANTINED": "media.quarantined"}
    for state, type_ in told.items():
        assert await outbox.run(change, state, media_id) == [type_]
    assert await outbox.run(change, "PENDING", media_id) == []
    await delete(ann, media_id)
    await undelete(ann, media_id)
    await delete(ann, media_id)
    await purge(ann, media_id)
    events = await outbox.events()
    assert [each["type"] for each in events] == [
        *("media.deleted", "media.undeleted", "media.deleted", "media.purged"),
    ]
    assert [each["sequence"] for each in events] == [7, 8, 9, 10]
    assert all(each["owner_id"] == "ann" for each in events)


async def test_jobs(service: Running, ann: Caller) -> None:
    outbox = Outbox(service)
    media_id = (await ann.store(jpeg())).media_id
    await outbox.types()
    job = await jobs.process(ann, media_id, "resize:8x")
    assert await outbox.types() == ["job.created"]
    await jobs.cancel(ann, job.job_id)
    assert await outbox.types() == ["job.cancelled"]
    await jobs.retry(ann, job.job_id)
    assert await outbox.types() == ["job.retried"]
    ends = {"FAILED": "job.failed", "SUCCEEDED": "job.succeeded"}
    for state, told in {"RUNNING": "job.started", **ends}.items():
        change = "update jobs set state = %s, error_reason = 'INTERNAL' where job_id = %s"
        assert await outbox.run(change, state, job.job_id) == [told]


async def test_scans(service: Running, ann: Caller) -> None:
    outbox = Outbox(service)
    media_id = (await ann.store(jpeg())).media_id
    await outbox.types()
    async with Database(service.database_url, 2) as database:
        for _ in range(2):  # the same result again is no event
            async with database.transaction() as tx:
                media = await queries.lock(tx, media_id)
                assert media
                await record(tx, media, Scan(ScanState.CLEAN, held=False, engine="ClamAV"))
    (event,) = await outbox.events()
    assert (event["type"], event["data"]["scanState"]) == ("scan.completed", "CLEAN")


async def test_containers_and_access(service: Running) -> None:
    await make_administrator(service, "root")
    root, outbox = await service.caller("root"), Outbox(service)

    async def tells(*types: str) -> None:
        events = await outbox.events()
        assert [each["type"] for each in events] == list(types)
        assert "bob" not in str([each["subject"] for each in events])

    await create_organization(root, "acme")
    events = await outbox.events()
    assert events[-1]["type"] == "organization.created"
    assert events[-1]["subject"] == "organization/acme"
    organization = access.UpdateOrganizationRequest(organization_id="acme", display_name="Acme")
    await root.call(root.access.UpdateOrganization, organization)
    await tells("organization.updated")
    group = await create_group(root, "acme")
    await add_member(root, group.group_id, "user:bob")
    await remove_member(root, group.group_id, "user:bob")
    await root.call(root.access.DeleteGroup, access.DeleteGroupRequest(group_id=group.group_id))
    await tells("group.created", "group.updated", "group.updated", "group.deleted")
    project_id = (await create_project(root)).project_id
    await tells("project.created")
    rename = access.UpdateProjectRequest(project_id=project_id, display_name="Paris")
    await root.call(root.access.UpdateProject, rename)
    await tells("project.updated")
    resource = f"project:{project_id}"
    await grant(root, resource, "user:bob", "VIEWER")
    await revoke(root, resource, "user:bob")
    await tells("grant.created", "grant.deleted")
    await set_policy(root, resource, default_visibility="PRIVATE")
    await tells("policy.updated")
    await set_quota(root, resource, BYTES=10**9)
    await tells("quota.updated")
    changed = "update quotas set soft_exceed_time = now() where account = %s and measure = 'BYTES'"
    assert await outbox.run(changed, resource) == ["quota.soft_limit_exceeded"]
    block = policy_service_pb2.BlockFileRequest(resource="organization:acme", sha256=SHA256)
    await root.call(root.policies.BlockFile, block)
    unblock = policy_service_pb2.UnblockFileRequest(resource="organization:acme", sha256=SHA256)
    await root.call(root.policies.UnblockFile, unblock)
    await tells("file.blocked", "file.unblocked")
    media = await store_in(root, project_id, jpeg())
    await outbox.types()
    link = await share_links.share(root, f"media:{media.media_id}")
    link_id = link.share_link.share_link_id
    await share_links.open_link(service, link.secret)
    await share_links.change(root, link_id, "display_name", display_name="x")
    await share_links.revoke_link(root, link_id)
    await tells(
        *("share_link.created", "share_link.opened", "share_link.updated", "share_link.revoked")
    )
    await delete(root, media.media_id)
    await purge(root, media.media_id)
    await outbox.types()
    transfer = access.TransferProjectRequest(
        project_id=project_id, owner=media_pb2.Owner(type="user", id="bob")
    )
    await root.call(root.access.TransferProject, transfer)
    await tells("project.transferred")
    await root.call(root.access.DeleteProject, access.DeleteProjectRequest(project_id=project_id))
    await tells("project.deleted")
    await root.call(
        root.access.DeleteOrganization, access.DeleteOrganizationRequest(organization_id="acme")
    )
    await tells("organization.deleted")
