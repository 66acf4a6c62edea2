"""Share links by which guests upload into a project."""

import asyncio
from typing import Any

from mediaservice.v1 import media_pb2, quota_service_pb2, upload_pb2, upload_service_pb2
from mediaservice.v1.upload_pb2 import Upload

from media_service_client import AsyncClient
from tests.support.media.small_files import jpeg
from tests.support.rpc import jobs
from tests.support.rpc.audit import entries
from tests.support.rpc.catalogue import get as get_media
from tests.support.rpc.quotas import set_quota, usage
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.share_links import get, media_of, open_link, revoke_link, share, visitor
from tests.support.rpc.sharing import (
    create_project,
    grant,
    grants,
    make_administrator,
    store_in,
)

FILE = jpeg()
Measure = quota_service_pb2.QuotaMeasure.Name


async def reason(call: Any) -> str:
    return (await refused(call)).reason


def message(project: str, data: bytes = FILE, **spec: Any) -> upload_service_pb2.WriteUploadRequest:
    given = upload_pb2.UploadSpec(project_id=project, filename="guest.jpg", **spec)
    return upload_service_pb2.WriteUploadRequest(spec=given, data=data, finish=True)


async def finish(guest: Caller, upload_id: str) -> Upload:
    await guest.write(
        [upload_service_pb2.WriteUploadRequest(upload_id=upload_id, offset=0, data=FILE)]
    )
    request = upload_service_pb2.CompleteUploadRequest(upload_id=upload_id)
    return await guest.call(guest.uploads.CompleteUpload, request)


async def abort(guest: Caller, upload_id: str) -> None:
    request = upload_service_pb2.AbortUploadRequest(upload_id=upload_id)
    await guest.call(guest.uploads.AbortUpload, request)


async def test_guests_upload_into_a_project_and_see_nothing_else(
    service: Running, ann: Caller, bob: Caller
) -> None:
    project = (await create_project(ann)).project_id
    other = (await create_project(ann)).project_id
    private = (await store_in(ann, project, FILE)).media_id
    media = await ann.store(FILE)
    wanted = share(ann, f"media:{media.media_id}", mode="UPLOAD")
    assert (await refused(wanted)).fields == ["targets"]
    refusal = await refused(share(ann, f"project:{project}", max_files=1))
    assert refusal.fields == ["max_files"]
    limits = {"max_files": 3, "max_file_size_bytes": len(FILE)}
    created = await share(ann, f"project:{project}", mode="UPLOAD", **limits)
    link_id = created.share_link.share_link_id
    guest = await visitor(service, created.secret)
    second = await visitor(service, created.secret)

    stored = await guest.write([message(project)])
    assert (stored.state, stored.HasField("owner")) == (Upload.FINISHED, False)
    assert not stored.HasField("media")
    assert not stored.spec.HasField("owner")
    assert (await get_media(ann, stored.media_id)).owner.id == "ann"
    assert stored.media_id in await media_of(ann, project_id=project)
    session = await guest.create(project_id=project, filename="slow.jpg")
    assert (await finish(guest, session.upload_id)).state == Upload.FINISHED
    # Who pays is the project, and its owner.
    paid = quota_service_pb2.GetQuotaRequest(account=f"project:{project}")
    quota = await ann.call(ann.quotas.GetQuota, paid)
    used = {Measure.Name(each.limit.measure): each.used for each in quota.entries}
    assert (used["MEDIA"], used["BYTES"]) == (3, 3 * len(FILE))

    assert await media_of(bob) == set()
    for media_id in (private, stored.media_id):
        denied = "SHARE_LINK_METHOD_NOT_ALLOWED"
        assert await reason(get_media(guest, media_id)) == denied
        assert await reason(guest.content(media_id)) == denied
    assert await reason(media_of(guest)) == "SHARE_LINK_METHOD_NOT_ALLOWED"
    for spec, why in (
        ({"project_id": other}, "PROJECT_NOT_FOUND"),
        ({}, "PROJECT_NOT_FOUND"),
        ({"project_id": project, "owner": {"type": "user", "id": "bob"}}, "OWNER_NOT_ALLOWED"),
        ({"project_id": project, "visibility": "PUBLIC"}, "ROLE_REQUIRED"),
        ({"project_id": project, "size_bytes": len(FILE) + 1}, "SIZE_EXCEEDED"),
    ):
        assert await reason(guest.create(**spec)) == why
    assert await reason(guest.write([message(project, FILE + b"x")])) == "SIZE_EXCEEDED"
    # Links read no uploads of others.
    ours = await ann.create(project_id=project)
    assert await reason(guest.get_upload(ours.upload_id)) == "UPLOAD_NOT_FOUND"
    elsewhere = await share(ann, f"project:{project}", mode="UPLOAD")
    stranger = await visitor(service, elsewhere.secret)
    assert await reason(stranger.get_upload(session.upload_id)) == "UPLOAD_NOT_FOUND"

    # The third file; one that is given up makes room.
    open_ = await second.create(project_id=project)
    full = await refused(guest.write([message(project)]))
    assert (full.reason, full.metadata) == ("SHARE_LINK_FULL", {"max_files": "3"})
    assert await reason(guest.create(project_id=project)) == "SHARE_LINK_FULL"
    await abort(second, open_.upload_id)
    many = [guest.create(project_id=project) for _ in range(20)]
    begun = await asyncio.gather(*many, return_exceptions=True)
    (last,) = [each for each in begun if not isinstance(each, BaseException)]
    assert (await get(ann, link_id)).files == 3
    # A revoked link takes no more bytes, also not of an upload that was begun.
    await revoke_link(ann, link_id)
    assert await reason(finish(guest, last.upload_id)) == "UPLOAD_NOT_FOUND"
    assert await reason(guest.create(project_id=project)) == "PROJECT_NOT_FOUND"
    found = await entries(service, "action", "actor_type", "actor", "media_id")
    assert ("media.create", "link", link_id, stored.media_id) in found


async def test_a_guest_is_never_taken_for_somebody_with_a_role(
    service: Running, ann: Caller, bob: Caller
) -> None:
    await make_administrator(service, "root")
    root = await service.caller("root")
    project = (await create_project(ann)).project_id
    resource = f"project:{project}"
    await grant(ann, resource, "user:bob", "MANAGER")
    created = await share(bob, resource, mode="UPLOAD")
    link_id = created.share_link.share_link_id
    guest = await visitor(service, created.secret)

    # Keys of the guest, the creator of the link and the owner of the project are separate.
    spec = upload_pb2.UploadSpec(project_id=project, filename="a.jpg")
    request = upload_service_pb2.CreateUploadRequest(spec=spec)
    ids = [
        (await each.call(each.uploads.CreateUpload, request, ("idempotency-key", "1"))).upload_id
        for each in (guest, bob, ann)
    ]
    assert len(set(ids)) == 3
    given_up = await guest.create(project_id=project)
    # Who has a role sees and watches what guests upload, as uploads of the project's owner.
    watch = upload_service_pb2.WatchUploadRequest(upload_id=ids[0])
    seen = []
    async for state in bob.uploads.WatchUpload(watch, metadata=bob.metadata):
        seen.append((state.owner.type, state.owner.id, state.state))
        if len(seen) == 1:
            stored = await finish(guest, ids[0])
    assert {each[:2] for each in seen} == {("user", "ann")}
    assert seen[-1][2] == Upload.FINISHED
    by_link = upload_service_pb2.ListUploadsRequest(owner=media_pb2.Owner(type="link", id=link_id))
    for caller in (ann, bob, root):
        listed: Any = await caller.call(caller.uploads.ListUploads, by_link)
        assert not listed.uploads
    at_once = (await guest.write([message(project)])).media_id
    # Its jobs are those of the owner, started by the link.
    for media_id in (stored.media_id, at_once):
        (job,) = await jobs.listed(ann, media_id=media_id)
        assert (job.owner.type, job.owner.id) == ("user", "ann")
        assert (job.actor.type, job.actor.id) == ("link", link_id)
    assert link_id not in str(await grants(ann, resource))

    # A guest does not learn whose quota is exceeded. What is refused counts for nobody.
    await abort(guest, given_up.upload_id)
    await set_quota(root, resource, MEDIA=2)
    before = await usage(root, resource)
    for call in (guest.create(project_id=project), guest.write([message(project)])):
        refusal = await refused(call)
        assert refusal.reason == "QUOTA_EXCEEDED"
        hidden = [refusal.metadata[name] for name in ("account", "limit", "used")]
        assert (hidden, refusal.metadata["measure"]) == (["", "", ""], "MEDIA")
        assert "ann" not in refusal.message
        assert project not in refusal.message
    assert (await refused(bob.create(project_id=project))).metadata["account"] == resource
    assert await usage(root, resource) == before

    # The audit log names the link, and the activity of no user has what it did.
    found = await entries(service, "actor_type", "actor", "action")
    by_guests = {action for kind, actor, action in found if (kind, actor) == ("link", link_id)}
    # The entry of the refused write may be written later.
    made = {"share_links.open", "uploads.create", "uploads.abort", "media.create"}
    assert by_guests - {"uploads.write"} == made
    assert {action for _, actor, action in found if actor == "ann"} == {
        *("projects.create", "grants.set", "uploads.create")
    }
    # It ends with the right of its creator to share, also for an upload that has begun.
    await set_quota(root, resource)
    late = await guest.create(project_id=project)
    await grant(ann, resource, "user:bob", "EDITOR")
    assert await reason(finish(guest, late.upload_id)) == "UPLOAD_NOT_FOUND"
    assert await reason(guest.create(project_id=project)) == "PROJECT_NOT_FOUND"


async def test_guests_of_one_link_are_separate_and_read_no_media(
    service: Running, ann: Caller
) -> None:
    project = (await create_project(ann)).project_id
    secret = (await share(ann, f"project:{project}", mode="UPLOAD")).secret
    session_token = (await open_link(service, secret)).session_token
    one, two = await service.bearer(session_token), await visitor(service, secret)
    renewal = await open_link(service, secret, session_token=session_token)
    renewed = await service.bearer(renewal.session_token)
    spec = upload_pb2.UploadSpec(project_id=project, filename="IMG_1.jpg")
    request = upload_service_pb2.CreateUploadRequest(spec=spec)
    first, other, same = [
        (await each.call(each.uploads.CreateUpload, request, ("idempotency-key", "1"))).upload_id
        for each in (one, two, renewed)
    ]
    assert (first == same, first == other) == (True, False)
    done = await finish(one, first)
    assert (done.state, done.HasField("media")) == (Upload.FINISHED, False)
    assert not (await one.get_upload(first)).HasField("media")
    assert (await get_media(ann, done.media_id)).filename == "IMG_1.jpg"
    assert (await ann.get_upload(first)).media.media_id == done.media_id
    async with AsyncClient(service.address, token=session_token) as client:
        media = await client.upload(FILE, project_id=project)
    assert media == media_pb2.Media(media_id=media.media_id)
    assert (await get_media(ann, media.media_id)).size_bytes == len(FILE)
