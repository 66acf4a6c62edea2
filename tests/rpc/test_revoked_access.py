"""What a caller began or handed out ends with their role."""

import asyncio
from hashlib import sha256
from typing import Any

import jwt
import pytest
from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2

from media_service.access.link_signer import LinkSigner, key_from
from media_service.clock import now
from tests.support.media.small_files import jpeg
from tests.support.rpc.audit import entries
from tests.support.rpc.catalogue import get, names, update
from tests.support.rpc.jobs import reason
from tests.support.rpc.links import link, somebody
from tests.support.rpc.parts import put, put_signed, sign
from tests.support.rpc.server import (
    HOUR,
    SECRET,
    Caller,
    Refusal,
    Running,
    Start,
    refused,
)
from tests.support.rpc.sessions import complete, write
from tests.support.rpc.sharing import create_project, grant, revoke
from tests.support.tools import eventually_async

Media = media_pb2.Media
Upload = upload_pb2.Upload
DATA = jpeg()
OWNER_ANN = "owner:/user:ann"


async def contributed(ann: Caller, bob: Caller, **spec: Any) -> tuple[str, str]:
    """A project of ann, and an upload into it that bob began."""
    project = f"project:{(await create_project(ann)).project_id}"
    await grant(ann, project, "user:bob", "EDITOR")
    upload = await bob.create(filename="a.jpg", project_id=project.partition(":")[2], **spec)
    return project, upload.upload_id


async def test_a_removed_contributor_adds_nothing_to_the_project(ann: Caller, bob: Caller) -> None:
    project, streamed = await contributed(ann, bob)
    project_id = project.partition(":")[2]
    stored = (await bob.create(filename="b.jpg", project_id=project_id)).upload_id
    in_parts = (await bob.create(filename="c.jpg", project_id=project_id)).upload_id
    await write(bob, stored, DATA)
    (signed,) = (await sign(bob, in_parts)).parts
    token = signed.url.rpartition("/")[2]
    await revoke(ann, project, "user:bob")
    for call in (
        write(bob, streamed, DATA),
        put(bob, in_parts, 1, DATA),
        sign(bob, in_parts),
        complete(bob, stored),
    ):
        assert (await refused(call)).reason == "PROJECT_NOT_FOUND"
    assert (await refused(put_signed(bob, token, DATA))).reason == "LINK_INVALID"
    assert await names(ann, project_id=project_id) == []
    # The uploads are still theirs, and continue with the role.
    assert (await bob.get_upload(stored)).committed_size_bytes == len(DATA)
    await grant(ann, project, "user:bob", "VIEWER")
    refusal = await refused(complete(bob, stored))
    assert (refusal.reason, refusal.metadata) == ("ROLE_REQUIRED", {"role": "EDITOR"})
    await grant(ann, project, "user:bob", "EDITOR")
    await put_signed(bob, token, DATA)
    for upload_id in (stored, in_parts):
        await complete(bob, upload_id)
    assert sorted(await names(ann, project_id=project_id)) == ["b.jpg", "c.jpg"]


async def refused_at_the_end(ann: Caller, bob: Caller, resource: str, upload_id: str) -> Refusal:
    """Ends bob's role on the resource while he sends an upload, and returns the refusal of it."""
    begun, revoked = asyncio.Event(), asyncio.Event()

    async def messages() -> Any:
        yield upload_service_pb2.WriteUploadRequest(upload_id=upload_id, data=DATA[:100])
        begun.set()
        await revoked.wait()
        yield upload_service_pb2.WriteUploadRequest(offset=100, data=DATA[100:], finish=True)

    call = bob.uploads.WriteUpload(messages(), metadata=bob.metadata)
    await begun.wait()

    async def takes() -> bool:
        return (await bob.get_upload(upload_id)).committed_size_bytes == 100

    await eventually_async(takes)
    await revoke(ann, resource, "user:bob")
    revoked.set()
    return await refused(call)


async def test_a_stream_that_runs_at_the_revocation_adds_no_media(ann: Caller, bob: Caller) -> None:
    project, upload_id = await contributed(ann, bob)
    refusal = await refused_at_the_end(ann, bob, project, upload_id)
    assert refusal.reason == "PROJECT_NOT_FOUND"
    assert await names(ann) == []


async def test_a_removed_contributor_adds_nothing_with_an_upload_that_is_verified(
    start: Start,
) -> None:
    service = await start()
    ann, bob = await service.caller("ann"), await service.caller("bob")
    project, kept = await contributed(ann, bob)
    other, lost = await contributed(ann, bob)
    for upload_id in (kept, lost):
        await write(bob, upload_id, DATA)
        upload = await complete(bob, upload_id, sha256=sha256(DATA).digest())
        assert upload.state == Upload.VERIFYING, "a job reads the bytes"
    await revoke(ann, other, "user:bob")
    await start(work=True)
    ended = await bob.until_upload(lost, lambda it: it.state in {Upload.FINISHED, Upload.FAILED})
    assert (ended.state, reason(ended)) == (Upload.FAILED, "PROJECT_NOT_FOUND")
    assert await names(ann, project_id=other.partition(":")[2]) == []
    await bob.until_upload(kept, lambda it: it.state == Upload.FINISHED)
    assert await names(ann, project_id=project.partition(":")[2]) == ["a.jpg"]


async def test_a_stream_for_an_owner_adds_no_media_after_the_revocation(
    ann: Caller, bob: Caller
) -> None:
    await grant(ann, OWNER_ANN, "user:bob", "EDITOR")
    owner = media_pb2.Owner(type="user", id="ann")
    upload = await bob.create(filename="a.jpg", owner=owner)
    refusal = await refused_at_the_end(ann, bob, OWNER_ANN, upload.upload_id)
    assert refusal.reason == "UPLOAD_NOT_FOUND"
    assert await names(ann) == []


async def test_a_signed_link_ends_with_the_role_of_its_signer(
    ann: Caller, bob: Caller, service: Running
) -> None:
    media = await ann.store(DATA)
    resource = f"media:{media.media_id}"
    await grant(ann, resource, "user:bob", "VIEWER")
    await grant(ann, resource, "user:carl", "VIEWER")
    carl = await service.caller("carl")
    tokens = [await link(caller, media.media_id) for caller in (ann, bob, carl)]
    async with somebody(service) as anybody:
        for token in tokens:
            assert (await anybody.read(token)).content == DATA
        await revoke(ann, resource, "user:bob")
        assert (await refused(anybody.read(tokens[1]))).reason == "LINK_INVALID"
        for token in (tokens[0], tokens[2]):
            assert (await anybody.read(token)).content == DATA
        # One of an earlier release names no signer, so nobody could end it.
        claims = {"media": media.media_id, "rendition": "", "attachment": False}
        older = LinkSigner([key_from(SECRET)]).sign("read", claims, now() + HOUR)
        assert (await refused(anybody.read(older))).reason == "LINK_INVALID"


async def test_a_link_does_not_tell_who_signed_it(ann: Caller, service: Running) -> None:
    media = await ann.store(DATA)
    user = await service.caller("somebody@example.com")
    await grant(ann, f"media:{media.media_id}", "user:somebody@example.com")
    claims = jwt.decode(
        await link(user, media.media_id), options={"verify_signature": False, "verify_aud": False}
    )
    assert "by" in claims
    assert "somebody" not in str(claims)


@pytest.mark.parametrize("visibility", [Media.PUBLIC, Media.PUBLIC_ORIGINAL])
@pytest.mark.usefixtures("alone")
async def test_only_a_manager_publishes(
    ann: Caller, bob: Caller, service: Running, visibility: Any
) -> None:
    media_id = (await ann.store(DATA)).media_id
    await grant(ann, f"media:{media_id}", "user:bob", "EDITOR")
    publish = {"media_id": media_id, "visibility": visibility}
    refusal = await refused(update(bob, ["visibility"], **publish))
    assert (refusal.reason, refusal.metadata) == ("ROLE_REQUIRED", {"role": "MANAGER"})
    assert (await get(bob, media_id)).visibility == Media.PRIVATE
    await update(bob, ["title"], media_id=media_id, title="x")
    await grant(ann, f"media:{media_id}", "user:bob", "MANAGER")
    await update(bob, ["visibility"], **publish)
    await grant(ann, f"media:{media_id}", "user:bob", "EDITOR")
    await update(bob, ["visibility"], media_id=media_id, visibility=Media.PRIVATE)

    async def written() -> bool:
        return any(row == ("DENIAL",) for row in await entries(service, "category"))

    await eventually_async(written)
    found = await entries(service, "category", "action", "actor")
    assert [each for each in found if each[1] in {"media.publish", "media.update"}] == [
        ("DENIAL", "media.update", "bob"),
        ("CHANGE", "media.update", "bob"),
        ("SHARE", "media.publish", "bob"),
        ("CHANGE", "media.update", "bob"),
    ]


async def test_an_editor_of_an_owner_publishes_nothing_new_for_it(ann: Caller, bob: Caller) -> None:
    owner = media_pb2.Owner(type="event", id="gala")
    spec = {"filename": "a.jpg", "owner": owner, "visibility": Media.PUBLIC}
    assert (await refused(bob.create(**spec))).reason == "OWNER_NOT_ALLOWED"
    await grant(ann, "owner:/user:ann", "user:bob", "EDITOR")
    spec["owner"] = media_pb2.Owner(type="user", id="ann")
    refusal = await refused(bob.create(**spec))
    assert (refusal.reason, refusal.metadata) == ("ROLE_REQUIRED", {"role": "MANAGER"})
    await bob.create(**spec | {"visibility": Media.PRIVATE})
    await bob.create(filename="a.jpg", visibility=Media.PUBLIC)
