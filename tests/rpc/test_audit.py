"""The audit log records who did what: changes, shares, reads and refusals."""

import asyncio
import json
import re
from collections.abc import AsyncIterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from mediaservice.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    audit_pb2,
    audit_service_pb2,
    audit_service_pb2_grpc,
    credentials_service_pb2,
    download_service_pb2,
    media_pb2,
    media_service_pb2,
    processing_service_pb2,
    upload_pb2,
    upload_service_pb2,
)
from mediaservice.v1.rule_pb2 import Rule

from media_service import app
from media_service.audit import writer
from media_service.audit.statistics import roll_up
from media_service.clock import now
from media_service.config import load
from media_service.db.database import Database
from media_service.ids import new_id
from tests.support.batches import changed_by
from tests.support.media.small_files import jpeg
from tests.support.renditions import give
from tests.support.rpc.audit import entries
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.sharing import (
    add_member,
    create_group,
    create_organization,
    create_project,
    grant,
    make_administrator,
    revoke,
    store_in,
)
from tests.support.tools import eventually_async

# Entries wait in the memory of a server, and repeated ones are merged there.
pytestmark = pytest.mark.usefixtures("alone")

LIST = media_service_pb2.ListMediaRequest()
CHANGE, DENIAL = audit_pb2.AuditEntry.CHANGE, audit_pb2.AuditEntry.DENIAL


async def listed(caller: Caller) -> bool:
    """Whether the server serves calls."""
    try:
        await caller.call(caller.media.ListMedia, LIST)
    except grpc.RpcError:
        return False
    return True


async def read(call: AsyncIterable[object]) -> None:
    async for _ in call:
        pass


async def test_changes_are_recorded_in_their_transactions(service: Running) -> None:
    ann = await service.caller()
    media_id = (await ann.store(jpeg())).media_id
    update = media_service_pb2.UpdateMediaRequest(
        media=media_pb2.Media(media_id=media_id, title="A"), update_mask=FieldMask(paths=["title"])
    )
    await ann.call(ann.media.UpdateMedia, update, ("x-request-id", "r-1"))
    await ann.call(ann.media.DeleteMedia, media_service_pb2.DeleteMediaRequest(media_id=media_id))
    await ann.call(ann.media.PurgeMedia, media_service_pb2.PurgeMediaRequest(media_id=media_id))
    found = await entries(service, "category", "action", "actor", "media_id", "request_id", "bytes")
    size = len(jpeg())
    assert found == [
        ("CHANGE", "media.create", "ann", media_id, "", size),
        ("CHANGE", "media.update", "ann", media_id, "r-1", 0),
        ("CHANGE", "media.delete", "ann", media_id, "", 0),
        ("CHANGE", "media.purge", "ann", media_id, "", 0),
    ]


async def test_callers_whose_uploads_share_a_transaction_are_told_apart(
    service: Running,
) -> None:
    callers = [await service.caller(f"user{n}") for n in range(8)]
    stored = await asyncio.gather(*(caller.store(jpeg()) for caller in callers))
    found = dict(await entries(service, "media_id", "actor"))
    assert found == {media.media_id: f"user{n}" for n, media in enumerate(stored)}


async def test_reads_are_recorded_when_the_server_stops(service: Running) -> None:
    ann = await service.caller()
    media_id = (await ann.store(jpeg())).media_id
    await give(service.environ, media_id, "small", b"small")
    original = download_service_pb2.GetContentRequest(media_id=media_id)
    small = download_service_pb2.GetContentRequest(media_id=media_id, rendition="small")
    rest = ("x-envoy-original-method", "GET")
    async with app.server(load(service.environ), 0) as second:
        running = Running(
            f"127.0.0.1:{second.port}",
            service.data_dir,
            service.database_url,
            service.channels,
            service.environ,
        )
        bob = await running.caller("ann")
        downloads, token = bob.downloads, bob.metadata
        await read(downloads.GetContent(original, metadata=(*token, rest)))
        for first, last in ((0, 1), (2, 2), (3, 4)):
            part = ("range", f"bytes={first}-{last}")
            await read(downloads.GetContent(small, metadata=(*token, rest, part)))
        head = ("x-envoy-original-method", "HEAD")
        await read(downloads.GetContent(original, metadata=(*token, head)))
    found = await entries(
        service,
        "category",
        "action",
        "actor",
        "media_id",
        "version",
        "counted",
        "requests",
        "bytes",
    )
    reader = ("ann", media_id, 1)
    assert found[0][:2] == ("CHANGE", "media.create")
    assert sorted(found[1:]) == [
        ("DOWNLOAD", "media.download", *reader, True, 1, len(jpeg())),
        ("VIEW", "media.view", *reader, False, 1, 1),
        ("VIEW", "media.view", *reader, False, 1, 2),
        ("VIEW", "media.view", *reader, True, 1, 2),
    ]


async def test_refusals_are_recorded_with_their_reason(service: Running) -> None:
    ann, bob = await service.caller("ann"), await service.caller("bob")
    reader = await service.caller("cat", scope="media.read")
    media_id = (await ann.store(jpeg())).media_id
    get = media_service_pb2.GetMediaRequest(media_id=media_id)
    delete = media_service_pb2.DeleteMediaRequest(media_id=media_id)
    await refused(bob.call(bob.media.GetMedia, get))
    await refused(bob.call(bob.media.GetMedia, get))
    await refused(reader.call(reader.media.DeleteMedia, delete))
    await refused(ann.media.GetMedia(get, metadata=()))
    await ann.call(ann.media.GetMedia, get)  # neither

    async def written() -> bool:
        return len(await entries(service, "action")) >= 4

    await eventually_async(written)
    found = await entries(service, "category", "action", "actor", "media_id", "outcome")
    assert found[0][1] == "media.create"
    assert found[1:] == [
        ("DENIAL", "media.read", "bob", media_id, "MEDIA_NOT_FOUND"),
        ("DENIAL", "media.delete", "cat", None, "SCOPE_MISSING"),
        ("DENIAL", "media.read", "127.0.0.1", None, "TOKEN_MISSING"),
    ]


async def test_the_log_survives_hostile_headers(service: Running) -> None:
    ann = await service.caller()
    create = upload_service_pb2.CreateUploadRequest(spec=upload_pb2.UploadSpec(filename="a.jpg"))
    hostile = (("x-request-id", "a b"), ("x-client-address", "9" * 4000))
    await ann.call(ann.uploads.CreateUpload, create, *hostile)
    assert await entries(service, "action", "address", "request_id") == [("uploads.create", "", "")]


async def test_a_full_log_delays_calls_until_it_can_be_written(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_WAITING", 2)
    monkeypatch.setattr(writer, "ROOM_SECONDS", 0.05)
    ann = await service.caller()
    media_id = (await ann.store(jpeg())).media_id
    get = download_service_pb2.DownloadRequest(media_id=media_id)
    async with service.database() as db, db.transaction():
        await db.execute("lock table audit_writers")
        for _ in range(2):
            await read(ann.downloads.Download(get, metadata=ann.metadata))
        refusal = await refused(ann.call(ann.media.ListMedia, LIST))
        assert refusal.reason == "DATABASE_UNAVAILABLE"
    await eventually_async(lambda: listed(ann))
    assert len(await entries(service, "action")) == 3


# AuditService


def audit_of(caller: Caller) -> Any:
    return audit_service_pb2_grpc.AuditServiceStub(caller.channel)


async def history(caller: Caller, **fields: Any) -> audit_service_pb2.ListMediaAccessResponse:
    request = audit_service_pb2.ListMediaAccessRequest(**fields)
    found: audit_service_pb2.ListMediaAccessResponse = await caller.call(
        audit_of(caller).ListMediaAccess, request
    )
    return found


async def rename(caller: Caller, media_id: str, title: str) -> None:
    media = media_pb2.Media(media_id=media_id, title=title)
    request = media_service_pb2.UpdateMediaRequest(
        media=media, update_mask=FieldMask(paths=["title"])
    )
    await caller.call(caller.media.UpdateMedia, request)


async def test_the_history_of_a_media_is_paged_and_only_for_its_managers(
    service: Running,
) -> None:
    ann, bob = await service.caller("ann"), await service.caller("bob")
    media_id = (await ann.store(jpeg(), "sea.jpg")).media_id
    await ann.store(jpeg())
    for title in "abc":
        await rename(ann, media_id, title)
    first = await history(ann, media_id=media_id, page_size=3)
    token = first.next_page_token
    second = await history(ann, media_id=media_id, page_size=3, page_token=token)
    actions = [entry.action for page in (first, second) for entry in page.entries]
    assert actions == [*["media.update"] * 3, "media.create"]
    assert not second.next_page_token
    created = second.entries[0]
    assert (created.actor.type, created.actor.id, created.filename) == ("user", "ann", "sea.jpg")
    assert (created.byte_count, created.outcome) == (len(jpeg()), "OK")
    assert created.category == audit_pb2.AuditEntry.CHANGE
    refusal = await refused(history(ann, media_id=media_id, category="DENIAL", page_token=token))
    assert refusal.reason == "INVALID_PAGE_TOKEN"
    assert not (await history(ann, media_id=media_id, category="DOWNLOAD")).entries
    assert (await refused(history(bob, media_id=media_id))).reason == "MEDIA_NOT_FOUND"


async def test_callers_see_their_own_activity_by_kind_with_file_names(service: Running) -> None:
    ann, bob = await service.caller("ann"), await service.caller("bob")
    request = audit_service_pb2.ListActivityRequest(category=CHANGE, page_size=2)
    nothing: Any = await bob.call(audit_of(bob).ListActivity, request)
    assert not nothing.entries
    media_id = (await ann.store(jpeg(), "sea.jpg")).media_id
    await bob.store(jpeg(), "bob.jpg")
    await rename(ann, media_id, "a")
    await rename(ann, media_id, "b")
    first: Any = await ann.call(audit_of(ann).ListActivity, request)
    request.page_token = first.next_page_token
    second: Any = await ann.call(audit_of(ann).ListActivity, request)
    found = [(entry.action, entry.filename) for entry in (*first.entries, *second.entries)]
    assert found == [*[("media.update", "sea.jpg")] * 2, ("media.create", "sea.jpg")]
    request = audit_service_pb2.ListActivityRequest(category=DENIAL)
    nothing = await ann.call(audit_of(ann).ListActivity, request)
    assert not nothing.entries


async def test_the_activity_of_a_stranger_reveals_nothing_about_a_media(service: Running) -> None:
    ann, eve = await service.caller("ann"), await service.caller("eve")
    stored = await ann.store(jpeg(), "secret.jpg")
    for media_id in (stored.media_id, new_id()):
        get = media_service_pb2.GetMediaRequest(media_id=media_id)
        refusal = await refused(eve.call(eve.media.GetMedia, get))
        assert refusal.reason == "MEDIA_NOT_FOUND"

    async def written() -> bool:
        return len(await entries(service, "action")) >= 3

    await eventually_async(written)
    request = audit_service_pb2.ListActivityRequest()
    found: Any = await eve.call(audit_of(eve).ListActivity, request)
    seen = [(e.filename, e.version, e.project_id, e.organization_id) for e in found.entries]
    assert seen == [("", 0, "", "")] * 2


async def test_a_claim_narrows_the_activity_to_its_organization(service: Running) -> None:
    ann, eve = await service.caller("ann"), await service.caller("eve", org="globex")
    inside = await service.caller("ann", org="acme")
    own, hidden = await ann.store(jpeg()), await eve.store(jpeg())
    stored = await inside.store(jpeg())
    for media_id in (own.media_id, hidden.media_id, new_id()):
        get = media_service_pb2.GetMediaRequest(media_id=media_id)
        assert (await refused(inside.call(inside.media.GetMedia, get))).reason == "MEDIA_NOT_FOUND"
    hidden_log = await refused(organization_entries(inside))
    assert hidden_log.reason == "ORGANIZATION_NOT_FOUND"
    await until_recorded(service, 7, "action")
    request = audit_service_pb2.ListActivityRequest()
    found: Any = await inside.call(audit_of(inside).ListActivity, request)
    # Refused media are left out: a list of some of them would tell which of them exist.
    assert [(e.category, e.media_id) for e in found.entries] == [
        (DENIAL, ""),
        (CHANGE, stored.media_id),
    ]
    lines = await exported(inside, "ExportActivity", audit_service_pb2.ExportActivityRequest())
    assert [line.get("mediaId", "") for line in lines] == [stored.media_id, ""]
    everything: Any = await ann.call(audit_of(ann).ListActivity, request)
    assert {e.media_id for e in everything.entries} >= {own.media_id, stored.media_id}


async def test_analytics_count_views_downloads_and_users(service: Running) -> None:
    ann = await service.caller("ann")
    media_id = (await ann.store(jpeg())).media_id
    await rename(ann, media_id, "a")
    async with Database(service.database_url, 2) as database:
        await changed_by(roll_up(database))
    request = audit_service_pb2.GetAnalyticsRequest(media_id=media_id)
    found: Any = await ann.call(audit_of(ann).GetAnalytics, request)
    assert [(day.action, day.usage.request_count) for day in found.days] == [
        ("media.create", 1),
        ("media.update", 1),
    ]
    assert (found.total.request_count, found.total.unique_user_count) == (2, 1)
    assert found.total.byte_count == len(jpeg())
    bob = await service.caller("bob")
    refusal = await refused(bob.call(audit_of(bob).GetAnalytics, request))
    assert refusal.reason == "MEDIA_NOT_FOUND"


async def test_a_viewer_sees_neither_history_nor_statistics(service: Running) -> None:
    ann, bob = await service.caller("ann"), await service.caller("bob")
    ann_access: Any = access_service_pb2_grpc.AccessServiceStub(ann.channel)
    new = access_service_pb2.CreateProjectRequest(display_name="Vacation")
    project = await ann.call(ann_access.CreateProject, new)
    message = upload_service_pb2.WriteUploadRequest(data=jpeg(), finish=True)
    message.spec.project_id = project.project_id
    media_id = (await ann.write([message])).media.media_id
    grant = access_service_pb2.SetGrantRequest(
        resource=f"media:{media_id}", grantee="user:bob", role=Rule.VIEWER
    )
    await ann.call(ann_access.SetGrant, grant)
    await bob.call(bob.media.GetMedia, media_service_pb2.GetMediaRequest(media_id=media_id))
    refusal = await refused(history(bob, media_id=media_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED")

    async def denied() -> bool:
        return len((await history(ann, media_id=media_id)).entries) == 3

    await eventually_async(denied)
    found = (await history(ann, media_id=media_id)).entries
    assert [(entry.action, entry.actor.id) for entry in found] == [
        ("audit.read", "bob"),
        ("grants.set", "ann"),
        ("media.create", "ann"),
    ]
    assert found[1].category == audit_pb2.AuditEntry.SHARE
    assert {entry.project_id for entry in found} == {project.project_id}

    async with Database(service.database_url, 2) as database:
        await changed_by(roll_up(database))
    request = audit_service_pb2.GetProjectAnalyticsRequest(project_id=project.project_id)
    usage: Any = await ann.call(audit_of(ann).GetProjectAnalytics, request)
    assert [day.action for day in usage.days] == [
        "access.denied",
        "grants.set",
        "media.create",
        "projects.create",
    ]
    refusal = await refused(bob.call(audit_of(bob).GetProjectAnalytics, request))
    assert refusal.reason == "PROJECT_NOT_FOUND"
    wanted = audit_service_pb2.GetOrganizationAnalyticsRequest(organization_id="acme")
    refusal = await refused(bob.call(audit_of(bob).GetOrganizationAnalytics, wanted))
    assert refusal.reason == "ORGANIZATION_NOT_FOUND"


async def test_a_url_of_the_store_counts_as_handed_out(s3_service: Running) -> None:
    ann = await s3_service.caller()
    media_id = (await ann.store(jpeg())).media_id
    sign = download_service_pb2.SignUrlRequest(media_id=media_id, direct=True)
    await ann.call(ann.downloads.SignUrl, sign)

    async def handed_out() -> bool:
        found = await entries(s3_service, "category", "action", "actor", "media_id")
        return ("SHARE", "media.hand_out", "ann", media_id) in found

    await eventually_async(handed_out)


async def test_an_entry_names_the_key_that_was_used(service: Running) -> None:
    ann = await service.caller()
    create = credentials_service_pb2.CreateServiceAccountRequest(display_name="robot")
    account = (await ann.call(ann.credentials.CreateServiceAccount, create)).service_account_id
    request = credentials_service_pb2.CreateApiKeyRequest(service_account_id=account)
    key = await ann.call(ann.credentials.CreateApiKey, request)
    robot = replace(ann, token=key.key)
    await robot.store(jpeg())
    found = await entries(service, "action", "actor_type", "actor", "credential_id")
    assert found == [
        ("service_accounts.create", "user", "ann", ""),
        ("api_keys.create", "user", "ann", ""),
        ("media.create", "service_account", account, key.api_key.api_key_id),
    ]


async def until_recorded(service: Running, count: int, *names: str) -> list[tuple[Any, ...]]:
    """The entries, once there are so many."""

    async def written() -> bool:
        return len(await entries(service, "action")) >= count

    await eventually_async(written)
    return await entries(service, *names)


async def test_reads_from_another_address_or_organization_are_entries_of_their_own(
    service: Running,
) -> None:
    ann = await service.caller()
    elsewhere = await service.caller("ann", org="acme")
    media_id = (await ann.store(jpeg())).media_id
    get = download_service_pb2.DownloadRequest(media_id=media_id, offset=1)
    for address in ("192.0.2.1", "203.0.113.66", "192.0.2.1"):
        headers = (*ann.metadata, ("x-client-address", address))
        await read(ann.downloads.Download(get, metadata=headers))
    other = media_service_pb2.GetMediaRequest(media_id=new_id())
    for caller in (ann, elsewhere):
        await refused(caller.call(caller.media.GetMedia, other))
    found = await until_recorded(service, 5, "category", "address")
    assert found[1:3] == [("DOWNLOAD", "192.0.2.1"), ("DOWNLOAD", "203.0.113.66")]


async def test_each_refused_item_of_a_batch_is_a_denial(service: Running) -> None:
    ann, eve = await service.caller("ann"), await service.caller("eve")
    hidden = [(await ann.store(jpeg())).media_id for _ in range(2)]
    own = (await eve.store(jpeg())).media_id
    batch = processing_service_pb2.BatchProcessMediaRequest()
    for media_id in hidden:
        batch.requests.add(media_id=media_id, ops="resize:10x10")
    await eve.call(eve.processing.BatchProcessMedia, batch)
    found = await until_recorded(service, 5, "category", "action", "actor", "media_id", "outcome")
    denials = [
        ("DENIAL", "renditions.create", "eve", media_id, "MEDIA_NOT_FOUND") for media_id in hidden
    ]
    assert sorted(found[3:]) == sorted(denials)
    batch.atomic = True
    del batch.requests[1]
    batch.requests.add(media_id=own, ops="resize:10x10")
    await refused(eve.call(eve.processing.BatchProcessMedia, batch))
    uploads = upload_service_pb2.BatchCreateUploadsRequest()
    uploads.requests.add().spec.project_id = "not-mine"
    await eve.call(eve.uploads.BatchCreateUploads, uploads)
    found = await until_recorded(service, 6, "category", "action", "outcome")
    assert found[5:] == [("DENIAL", "uploads.create", "PROJECT_NOT_FOUND")]  # the other repeats


async def test_a_denial_names_what_was_asked_for(service: Running) -> None:
    eve = await service.caller("eve")
    account = credentials_service_pb2.DeleteServiceAccountRequest(service_account_id=new_id())
    await refused(eve.call(eve.credentials.DeleteServiceAccount, account))
    project = access_service_pb2.DeleteProjectRequest(project_id="not-mine")
    group = access_service_pb2.DeleteGroupRequest(group_id="not-mine")
    stub = access_service_pb2_grpc.AccessServiceStub(eve.channel)
    await refused(eve.call(stub.DeleteProject, project))
    await refused(eve.call(stub.DeleteGroup, group))
    await until_recorded(service, 3)
    async with service.database() as db:
        cursor = await db.execute("select resource_id from audit_entries order by time")
        found = [row[0] for row in await cursor.fetchall()]
    assert found == [account.service_account_id, "project:not-mine", "group:not-mine"]


async def test_no_entry_has_the_name_of_the_user_of_a_resource(service: Running) -> None:
    name = "ann@example.com"
    ann = await service.caller(name)
    resource = f"owner:/user:{name}"
    await grant(ann, resource, "user:bob", "EDITOR")
    await revoke(ann, resource, "user:bob")
    async with service.database() as db:
        cursor = await db.execute(
            "select resource_id, person_id::text from audit_entries order by time"
        )
        found = await cursor.fetchall()
    assert [row[0] for row in found] == [f"owner:/user:{row[1]}" for row in found]
    assert len(found) == 2


async def organization_entries(caller: Caller, **fields: Any) -> list[audit_pb2.AuditEntry]:
    request = audit_service_pb2.ListOrganizationAccessRequest(organization_id="acme", **fields)
    audit = audit_service_pb2_grpc.AuditServiceStub(caller.channel)
    response = await caller.call(audit.ListOrganizationAccess, request)
    return list(response.entries)


async def exported(caller: Caller, method: str, request: Any) -> list[dict[str, Any]]:
    call = getattr(audit_service_pb2_grpc.AuditServiceStub(caller.channel), method)
    content = b"".join([m.data async for m in call(request, metadata=caller.metadata)])
    return [json.loads(line) for line in content.splitlines()]


async def test_managers_see_grants_and_refusals_of_their_organization(service: Running) -> None:
    await make_administrator(service, "root")
    root, ann, bob = [await service.caller(name) for name in ("root", "ann", "bob")]
    await create_organization(root, "acme")
    await grant(root, "organization:acme", "user:ann", "MANAGER")
    end = Timestamp()
    end.FromDatetime(now() + timedelta(hours=1))
    await grant(ann, "organization:acme", "user:eve", "VIEWER", expire_time=end)
    await revoke(ann, "organization:acme", "user:eve")
    group = (await create_group(ann, "acme")).group_id
    await add_member(ann, group, "user:bob")
    project = (await create_project(root, organization_id="acme")).project_id
    media = await store_in(root, project, jpeg())
    wanted = media_service_pb2.GetMediaRequest(media_id=media.media_id)
    assert (await refused(bob.call(bob.media.GetMedia, wanted))).reason == "MEDIA_NOT_FOUND"
    assert (await refused(organization_entries(bob))).reason == "ORGANIZATION_NOT_FOUND"

    async def denials() -> list[audit_pb2.AuditEntry]:
        return await organization_entries(ann, category=DENIAL)

    (denied,) = await eventually_async(denials)
    assert (denied.actor.id, denied.media_id) == ("bob", media.media_id)
    found = {
        entry.action: dict(entry.details)
        for entry in await organization_entries(ann)
        if entry.actor.id == "ann"
    }
    assert found["groups.add_member"] == {"member": "user:bob"}
    eve = {"grantee": "user:eve", "role": "VIEWER"}
    assert {**found["grants.set"], "expire_time": ""} == {**eve, "expire_time": ""}
    assert found["grants.delete"].items() >= eve.items()
    # The log has a pseudonym, which names nobody after an erasure.
    async with service.database() as db:
        rows = await db.execute("select from audit_entries e where e::text like '%eve%'")
        assert rows.rowcount == 0
        await db.execute("delete from audit_people where id = 'eve'")
    grantees = {
        entry.details["grantee"]
        for entry in await organization_entries(ann)
        if entry.action == "grants.delete"
    }
    (name,) = grantees
    assert re.fullmatch(r"user:[0-9a-f-]{36}", name)

    # Exports.
    of_org = audit_service_pb2.ExportOrganizationAuditRequest(organization_id="acme")
    actions = [line["action"] for line in await exported(ann, "ExportOrganizationAudit", of_org)]
    assert actions[:3] == ["organizations.create", "grants.set", "grants.set"]
    of_project = audit_service_pb2.ExportProjectAuditRequest(project_id=project, category=CHANGE)
    (created, stored) = await exported(ann, "ExportProjectAudit", of_project)
    assert (created["action"], stored["mediaId"]) == ("projects.create", media.media_id)
    assert (await refused(exported(bob, "ExportProjectAudit", of_project))).reason
    own = audit_service_pb2.ExportActivityRequest()
    assert {line["actor"]["id"] for line in await exported(ann, "ExportActivity", own)} == {"ann"}
    others = audit_service_pb2.ExportActivityRequest(user_id="bob")
    (of_bob, *_) = await exported(root, "ExportActivity", others)
    assert of_bob["mediaId"] == media.media_id
    hidden = await refused(exported(ann, "ExportActivity", others))
    assert hidden.reason == "RESOURCE_NOT_FOUND"
    audit = audit_service_pb2_grpc.AuditServiceStub(root.channel)
    listed = audit_service_pb2.ListActivityRequest(user_id="bob")
    (entry, *_) = (await root.call(audit.ListActivity, listed)).entries
    assert entry.actor.id == "bob"
    refusal = await refused(ann.call(audit.ListActivity, listed))
    assert refusal.reason == "RESOURCE_NOT_FOUND"
