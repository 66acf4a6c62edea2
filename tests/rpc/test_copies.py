"""Copies of media: what they share with the original, and what they do not."""

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from mediaservice.v1 import media_pb2

from tests.support.media.private_files import SECRET, private_jpeg
from tests.support.media.small_files import jpeg
from tests.support.rpc import collections
from tests.support.rpc.audit import entries
from tests.support.rpc.catalogue import delete, get, purge, until_done, update
from tests.support.rpc.commands import Run
from tests.support.rpc.copies import copy
from tests.support.rpc.policies import block, set_policy
from tests.support.rpc.quotas import set_quota, usage
from tests.support.rpc.server import Caller, Running, refused, unknown_id
from tests.support.rpc.sharing import (
    create_organization,
    create_project,
    grant,
    make_administrator,
    store_in,
)

KEPT = ("title", "description", "tags", "labels", "rating", "metadata", "capture_time", "filename")
Media = media_pb2.Media


async def blobs_of(service: Running, *media_ids: str) -> list[tuple[str, int]]:
    """The blobs of media, with the number of references."""
    async with service.database() as db:
        rows = await db.execute(
            "select distinct b.blob_id::text, b.reference_count from media_versions v"
            " join blobs b on b.blob_id = v.blob_id where v.media_id = any(%s::uuid[])",
            (list(media_ids),),
        )
        return [(row[0], row[1]) for row in await rows.fetchall()]


async def test_a_copy_shares_the_bytes_and_keeps_what_is_said_of_the_media(
    working: Running,
) -> None:
    ann = await working.caller()
    project = (await create_project(ann)).project_id
    stored = await until_done(ann, (await ann.store(jpeg(), "beach.jpg")).media_id)
    said = Media(
        media_id=stored.media_id,
        title="Beach",
        description="At noon",
        tags=["sea"],
        labels={"album": "2026"},
        rating=4,
        capture_time=Timestamp(seconds=1_600_000_000),
        visibility=Media.PUBLIC,
    )
    said.metadata.update({"shoot": {"take": 3}})
    names = [field.name for field, _ in said.ListFields() if field.name != "media_id"]
    fields = {name: getattr(said, name) for name in names}
    media = await update(ann, names, media_id=stored.media_id, **fields)
    album = await collections.create(ann)
    await collections.add(ann, album.collection_id, [media.media_id])
    created = await copy(ann, media.media_id.upper(), project_id=project)
    assert created.state == Media.PENDING
    copied = await until_done(ann, created.media_id)
    for name in KEPT:
        assert getattr(copied, name) == getattr(media, name), name
    assert (copied.project_id, copied.visibility) == (project, Media.PRIVATE)
    assert {r.name for r in copied.renditions} == {r.name for r in media.renditions}
    assert await ann.content(copied.media_id) == jpeg()
    ((_, references),) = await blobs_of(working, media.media_id, copied.media_id)
    assert references == 2
    assert await collections.media(ann, album.collection_id) == [media.media_id]

    await delete(ann, media.media_id)
    await purge(ann, media.media_id)
    assert await ann.content(copied.media_id) == jpeg()
    again = await copy(ann, copied.media_id)
    assert again.project_id == project, "the same project, if none is stated"
    assert (await copy(ann, copied.media_id, project_id="")).project_id == ""


async def test_a_copy_follows_the_policy_the_blocklist_and_the_quota_of_its_place(
    working: Running,
) -> None:
    ann, admin = await working.caller(), await working.caller("admin")
    await make_administrator(working, "admin")
    data = private_jpeg()
    project = (await create_project(ann)).project_id
    media = await until_done(ann, (await ann.store(data)).media_id)
    resource = f"project:{project}"

    await set_policy(ann, resource, allowed_types=["image/png"])
    refusal = await refused(copy(ann, media.media_id, project_id=project))
    assert refusal.reason == "TYPE_NOT_ALLOWED"
    await set_policy(ann, resource, strip_metadata=True)
    stripped = await until_done(ann, (await copy(ann, media.media_id, project_id=project)).media_id)
    assert SECRET.encode() not in await ann.content(stripped.media_id)
    assert await ann.content(media.media_id) == data

    await set_quota(admin, resource, MEDIA=2)
    await copy(ann, media.media_id, project_id=project)
    refusal = await refused(copy(ann, media.media_id, project_id=project))
    assert (refusal.reason, refusal.metadata["account"]) == ("QUOTA_EXCEEDED", resource)
    assert (await usage(admin, resource))["MEDIA"] == (0, 2)
    await block(admin, "service:", sha256(data).hexdigest())
    assert (await refused(copy(ann, media.media_id))).reason == "FILE_BLOCKED"


async def test_only_what_can_be_read_is_copied_and_only_within_a_tenant(
    ann: Caller, bob: Caller, service: Running
) -> None:
    media_id = (await ann.store(jpeg())).media_id
    assert (await refused(copy(bob, media_id))).reason == "MEDIA_NOT_FOUND"
    assert (await refused(copy(ann, unknown_id()))).reason == "MEDIA_NOT_FOUND"
    refusal = await refused(copy(ann, media_id, project_id="none"))
    assert refusal.reason == "PROJECT_NOT_FOUND"
    await grant(ann, f"media:{media_id}", "user:bob", "VIEWER")
    refusal = await refused(copy(bob, media_id))
    assert (refusal.reason, refusal.metadata) == ("COPY_BETWEEN_TENANTS", {"media_id": media_id})
    refusal = await refused(copy(bob, media_id, owner=media_pb2.Owner(type="user", id="ann")))
    assert refusal.reason == "OWNER_NOT_ALLOWED"
    await grant(ann, "owner:/user:ann", "user:bob", "EDITOR")
    made = await copy(bob, media_id, owner=media_pb2.Owner(type="user", id="ann"))
    assert made.owner.id == "ann"
    await delete(ann, media_id)
    assert (await refused(copy(ann, media_id))).reason == "MEDIA_DELETED"


async def test_members_of_an_organization_copy_what_they_see(service: Running) -> None:
    admin = await service.caller("admin")
    await make_administrator(service, "admin")
    await create_organization(admin, "acme")
    ann, bob = await service.caller("ann"), await service.caller("bob")
    for name in ("ann", "bob"):
        await grant(admin, "organization:acme", f"user:{name}", "EDITOR")
    project = (await create_project(ann, organization_id="acme")).project_id
    media = await store_in(ann, project, jpeg())
    made = await copy(bob, media.media_id, project_id=project)
    assert (made.owner.id, made.owner.organization_id) == ("bob", "acme")
    ((_, references),) = await blobs_of(service, media.media_id, made.media_id)
    assert references == 2
    outside = await refused(copy(ann, media.media_id, project_id=""))
    assert outside.reason == "COPY_BETWEEN_TENANTS"


async def test_a_repeated_call_returns_the_same_copy(service: Running, ann: Caller) -> None:
    media_id = (await ann.store(jpeg())).media_id
    key = str(uuid4())
    made = await asyncio.gather(*(copy(ann, media_id, request_id=key) for _ in range(4)))
    assert len({each.media_id for each in made}) == 1
    other = await refused(copy(ann, media_id, project_id="", request_id=key))
    assert other.reason == "IDEMPOTENCY_CONFLICT"
    log = await entries(service, "action", "media_id", "details")
    details = [each[2] for each in log if each[:2] == ("media.copy", made[0].media_id)]
    assert [json.loads(each) for each in details] == [{"copied": media_id}]


async def test_copies_and_purges_at_the_same_time_lose_no_bytes(
    service: Running, ann: Caller
) -> None:
    for _ in range(5):
        media_id = (await ann.store(jpeg())).media_id
        first = await copy(ann, media_id)
        await delete(ann, media_id)
        done = await asyncio.gather(
            purge(ann, media_id),
            *(copy(ann, first.media_id) for _ in range(3)),
            return_exceptions=True,
        )
        assert not [each for each in done if isinstance(each, Exception)]
        made = [each.media_id for each in done[1:] if isinstance(each, Media)]
        ((_, references),) = await blobs_of(service, first.media_id, *made)
        assert references == 4
        for each in made:
            assert await ann.content(each) == jpeg()


async def test_the_command_prints_the_copies(service: Running, ann: Caller, tmp_path: Path) -> None:
    run = Run(service, tmp_path)
    project = (await create_project(ann)).project_id
    media_id = (await ann.store(jpeg(), "a.jpg")).media_id
    ((made, *_),) = await run("ann", "copy", media_id, "--project", project)
    assert (await get(ann, made)).project_id == project
    wrong = await run.result("ann", "copy", media_id, "--project", "x", "--no-project")
    assert wrong.exit_code == 2
