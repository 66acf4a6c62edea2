"""Blocked files are refused before anybody can read them."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import grpc
import pytest
from mediaservice.v1 import checksums_pb2, media_pb2, policy_service_pb2

from tests.support.media.photos import copies, jpeg_of, photo
from tests.support.media.scenes import video_of
from tests.support.media.small_files import jpeg
from tests.support.rpc.audit import entries
from tests.support.rpc.catalogue import get, names, undelete, until_done, update
from tests.support.rpc.commands import Run
from tests.support.rpc.jobs import error_info
from tests.support.rpc.parts import complete, put
from tests.support.rpc.refused_media import check_withheld, reprocess
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.sharing import (
    create_organization,
    create_project,
    grant,
    make_administrator,
    store_in,
)
from tests.support.rpc.versions import replaced, until, versions
from tests.support.rpc.ways import WAYS
from tests.support.tools import eventually_async

PHOTO = jpeg()
SHA256 = hashlib.sha256(PHOTO).hexdigest()
ACME = "organization:acme"


@pytest.fixture
async def admin(service: Running) -> Caller:
    await make_administrator(service, "root")
    return await service.caller("root")


async def block(caller: Caller, resource: str, sha256: str = SHA256, note: str = "") -> Any:
    request = policy_service_pb2.BlockFileRequest(resource=resource, sha256=sha256, note=note)
    return await caller.call(caller.policies.BlockFile, request)


async def block_image(caller: Caller, resource: str, **image: str) -> str:
    """Returns the perceptual hash."""
    request = policy_service_pb2.BlockFileRequest(resource=resource, **image)
    return str((await caller.call(caller.policies.BlockFile, request)).perceptual_hash)


async def found(caller: Caller, resource: str, **hashes: str) -> dict[str, bool]:
    """The media that would be refused, and whether they have the same bytes. Page by page."""
    request = policy_service_pb2.FindBlockedMediaRequest(resource=resource, page_size=1, **hashes)
    media: dict[str, bool] = {}
    while True:
        page = await caller.call(caller.policies.FindBlockedMedia, request)
        media |= {each.media.media_id: each.exact for each in page.media}
        if not page.next_page_token:
            return media
        request.page_token = page.next_page_token


async def unblock(caller: Caller, resource: str, sha256: str = SHA256) -> None:
    request = policy_service_pb2.UnblockFileRequest(resource=resource, sha256=sha256)
    await caller.call(caller.policies.UnblockFile, request)


async def listed(caller: Caller, resource: str) -> list[str]:
    """The hashes on a list, page by page."""
    found: list[str] = []
    request = policy_service_pb2.ListBlockedFilesRequest(resource=resource, page_size=1)
    while True:
        page = await caller.call(caller.policies.ListBlockedFiles, request)
        found += [
            blocked.sha256 or f"pdq:{blocked.perceptual_hash}" for blocked in page.blocked_files
        ]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_a_blocked_file_is_refused_however_it_arrives(
    service: Running, ann: Caller, admin: Caller
) -> None:
    project = (await create_project(ann)).project_id
    earlier = await store_in(ann, project, PHOTO)
    blocked = await block(admin, "service:", SHA256.upper(), "case 17")
    assert (blocked.resource, blocked.sha256, blocked.note) == ("service:", SHA256, "case 17")
    for send in WAYS:
        refusal = await refused(send(ann, PHOTO, project_id=project))
        assert (refusal.code, refusal.reason, refusal.metadata) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "FILE_BLOCKED",
            {"sha256": SHA256},
        ), send
        await send(ann, PHOTO + b"\0", project_id=project)
    assert len(await names(ann)) == 1 + len(WAYS), "only what is not blocked, and what was before"
    assert await ann.content(earlier.media_id) == PHOTO
    others = asyncio.gather(*[ann.store(PHOTO + bytes([number])) for number in range(20)])
    assert (await refused(ann.store(PHOTO))).reason == "FILE_BLOCKED"
    assert len(await others) == 20, "they share transactions"
    declared = checksums_pb2.Checksums(sha256=bytes.fromhex(SHA256))
    assert (await refused(ann.create(checksums=declared))).reason == "FILE_BLOCKED"
    await unblock(admin, "service:")
    await ann.create(checksums=declared)
    await ann.store(PHOTO)
    actions = await entries(service, "action", "actor")
    assert {("files.block", "root"), ("files.unblock", "root")} <= set(actions)


async def test_the_list_of_an_organization_applies_in_it_alone(
    ann: Caller, bob: Caller, admin: Caller
) -> None:
    await create_organization(admin, "acme")
    await grant(admin, ACME, "user:ann", "EDITOR")
    project = (await create_project(ann, organization_id="acme")).project_id
    assert (await refused(block(ann, ACME))).metadata == {"role": "MANAGER"}
    assert (await refused(block(bob, ACME))).reason == "RESOURCE_NOT_FOUND"
    assert (await refused(block(ann, "service:"))).reason == "RESOURCE_NOT_FOUND"
    assert (await refused(block(admin, f"project:{project}"))).fields == ["resource"]
    assert (await refused(block(admin, ACME, "abc"))).fields == ["sha256"]
    await grant(admin, ACME, "user:ann", "MANAGER")
    await block(ann, ACME)
    await block(ann, ACME, note="again")
    await block(ann, ACME, "0" * 64)
    assert await listed(ann, ACME) == ["0" * 64, SHA256]
    assert await listed(admin, "service:") == []
    assert (await refused(store_in(ann, project, PHOTO))).reason == "FILE_BLOCKED"
    await ann.store(PHOTO)
    await bob.store(PHOTO)
    await unblock(ann, ACME)
    await unblock(ann, ACME)
    await store_in(ann, project, PHOTO)


async def test_a_file_that_is_blocked_before_its_hash_is_known_is_refused_by_inspection(
    start: Start, ann: Caller, admin: Caller
) -> None:
    photo = jpeg(400, 300)  # large enough for thumbnails
    upload = await ann.create()
    await put(ann, upload.upload_id, 1, photo)
    media = (await complete(ann, upload.upload_id)).media
    assert not media.checksums.sha256
    await block(admin, "service:", hashlib.sha256(photo).hexdigest())
    await start(work=True)
    found = await until_done(ann, media.media_id)
    assert (found.state, found.HasField("delete_time")) == (media_pb2.Media.FAILED, True)
    assert "blocked" in (await get(ann, media.media_id)).error.message

    await undelete(ann, media.media_id)
    await check_withheld(ann, media.media_id, "FILE_BLOCKED")
    await reprocess(ann, media.media_id)

    async def refused_again() -> bool:
        return (await get(ann, media.media_id)).HasField("delete_time")

    await eventually_async(refused_again)
    assert (await get(ann, media.media_id)).state == media_pb2.Media.FAILED

    await unblock(admin, "service:", hashlib.sha256(photo).hexdigest())
    await undelete(ann, media.media_id)
    await update(ann, ["visibility"], media_id=media.media_id, visibility="PUBLIC")
    await reprocess(ann, media.media_id)

    async def published() -> bool:
        found = await get(ann, media.media_id)
        return found.state == media_pb2.Media.READY and all(r.public_url for r in found.renditions)

    await eventually_async(published)
    assert (await get(ann, media.media_id)).renditions
    assert await ann.content(media.media_id) == photo


async def test_images_that_look_like_a_blocked_one_are_refused_by_inspection(
    working: Running, tmp_path: Path
) -> None:
    ann, bob = await working.caller("ann"), await working.caller("bob")
    await make_administrator(working, "root")
    admin = await working.caller("root")
    await create_organization(admin, "acme")
    await grant(admin, ACME, "user:ann", "MANAGER")
    project = (await create_project(ann, organization_id="acme")).project_id
    image = photo(50)
    copy_of = {name: jpeg_of(each) for name, each in copies(image).items()}
    known, other = [await store_in(ann, project, jpeg_of(photo(n))) for n in (50, 51)]
    flat = await store_in(ann, project, jpeg(20, 20))
    for media in (known, other, flat):
        await until_done(ann, media.media_id)
    run = Run(working, tmp_path)
    ((entry, _, note),) = await run("ann", "block", "add", ACME, f"media:{known.media_id.upper()}")
    assert (await listed(ann, ACME), note) == ([entry], "")
    pdq = entry.removeprefix("pdq:")
    assert await block_image(ann, ACME, perceptual_hash=pdq.upper(), note="case 17") == pdq
    for name in ("scaled", "compressed", "cropped left", "watermarked"):
        media = await until_done(ann, (await store_in(ann, project, copy_of[name])).media_id)
        assert media.state == media_pb2.Media.FAILED, name
        assert media.HasField("delete_time"), name
        assert error_info(media).reason == "FILE_BLOCKED", name
        assert error_info(media).metadata == {"sha256": media.checksums.sha256.hex()}, name
    assert (await get(ann, known.media_id)).renditions, "it was accepted before"

    video = video_of(tmp_path, [55, 50, 56]).read_bytes()
    media = await until_done(ann, (await store_in(ann, project, video, "a.mp4")).media_id)
    assert (media.kind, media.state) == (media_pb2.Media.VIDEO, media_pb2.Media.FAILED)
    assert error_info(media).reason == "FILE_BLOCKED"

    version = (await replaced(ann, other.media_id, copy_of["scaled"])).version
    await until(ann, other.media_id, lambda m: m.latest_version == version)

    async def refused_version() -> bool:
        newest = (await versions(ann, other.media_id))[0]
        return newest.version == version and "blocked" in newest.error.message

    await eventually_async(refused_version)
    assert await ann.content(other.media_id) == jpeg_of(photo(51))

    elsewhere = (await bob.store(copy_of["scaled"])).media_id
    assert (await until_done(bob, elsewhere)).state == media_pb2.Media.READY
    assert await found(ann, ACME, perceptual_hash=pdq) == {known.media_id: False}
    assert await run("ann", "block", "find", ACME, entry) == [[known.media_id, "1.000", "a.jpg"]]
    assert await found(ann, ACME, sha256=known_sha256(image)) == {known.media_id: True}
    assert (await found(admin, "service:", perceptual_hash=pdq)).keys() == {
        known.media_id,
        elsewhere,
    }
    assert (await refused(found(bob, "service:", sha256=SHA256))).reason == "RESOURCE_NOT_FOUND"
    for media_id, reason in (
        (flat.media_id, "MEDIA_NOT_COMPARABLE"),
        (elsewhere, "MEDIA_NOT_FOUND"),
    ):
        refusal = await refused(block_image(ann, ACME, media_id=media_id))
        assert (refusal.reason, refusal.metadata) == (reason, {"media_id": media_id})
    both = policy_service_pb2.BlockFileRequest(resource=ACME, sha256=SHA256, perceptual_hash=pdq)
    assert (await refused(ann.call(ann.policies.BlockFile, both))).reason == "INVALID_FIELD"

    assert (await run("ann", "block", "list", ACME))[0][2] == "case 17"
    assert await run("ann", "block", "remove", ACME, entry) == []
    assert await listed(ann, ACME) == []
    allowed = await store_in(ann, project, copy_of["watermarked"])
    assert (await until_done(ann, allowed.media_id)).state == media_pb2.Media.READY


def known_sha256(image: Any) -> str:
    return hashlib.sha256(jpeg_of(image)).hexdigest()
