"""Visibility: which parts of a media are public, and the public URLs it shows."""

import grpc
import pytest
from mediaservice.v1 import (
    download_service_pb2,
    download_service_pb2_grpc,
    media_pb2,
    media_service_pb2,
)

from tests.support.media.small_files import jpeg
from tests.support.renditions import give
from tests.support.rpc.catalogue import get, until_done, update
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.stores.local_files import blob_files

Media = media_pb2.Media
SMALL = b"a small image"


async def public(service: Running, path: str) -> bytes:
    """Reads without a token."""
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = download_service_pb2_grpc.DownloadServiceStub(channel)
        call = stub.GetPublic(download_service_pb2.GetPublicRequest(path=path))
        return b"".join([message.data async for message in call])


async def rendition(caller: Caller, media_id: str, name: str) -> bytes:
    request = download_service_pb2.DownloadRequest(media_id=media_id, rendition=name)
    call = caller.downloads.Download(request, metadata=caller.metadata)
    return b"".join([message.data async for message in call])


async def published(service: Running, caller: Caller) -> tuple[str, str]:
    """The id of a public media with a rendition, and the path of the rendition."""
    media = await caller.store(jpeg(), "beach.jpg")
    await update(caller, ["visibility"], media_id=media.media_id, visibility=Media.PUBLIC)
    await give(service.environ, media.media_id, "small", SMALL)
    (found,) = (await get(caller, media.media_id)).renditions
    path = found.public_url.removeprefix("http://localhost:8080/v1/public/")
    assert path != found.public_url
    return media.media_id, path


async def test_a_media_is_private_until_its_owner_publishes_it(
    ann: Caller, service: Running
) -> None:
    stored = await ann.store(jpeg())
    assert stored.visibility == Media.PRIVATE
    await give(service.environ, stored.media_id, "small", SMALL)
    media = await get(ann, stored.media_id)
    assert media.visibility == Media.PRIVATE
    (small,) = media.renditions
    assert (small.name, small.content_type, small.size_bytes) == ("small", "image/webp", len(SMALL))
    assert small.public_url == ""
    assert await rendition(ann, stored.media_id, "small") == SMALL
    assert blob_files(service.data_dir / "public") == []


async def test_a_public_rendition_is_read_without_a_token(ann: Caller, service: Running) -> None:
    media_id, path = await published(service, ann)
    assert await public(service, path) == SMALL
    assert await rendition(ann, media_id, "small") == SMALL
    # The original stays private to its owner.
    original = (await get(ann, media_id)).media_id
    for other in (original, f"blobs/{original[-2:]}/{original}", path[:-1], path.upper(), "\0"):
        refusal = await refused(public(service, other))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MEDIA_NOT_FOUND")


@pytest.mark.parametrize("how", ["private", "deleted", "quarantined"])
async def test_an_unpublished_rendition_is_refused_at_once(
    ann: Caller, service: Running, how: str
) -> None:
    """No worker runs that would move the rendition."""
    media_id, path = await published(service, ann)
    match how:
        case "private":
            await update(ann, ["visibility"], media_id=media_id, visibility=Media.PRIVATE)
        case "deleted":
            request = media_service_pb2.DeleteMediaRequest(media_id=media_id)
            await ann.call(ann.media.DeleteMedia, request)
        case "quarantined":
            async with service.database() as db:
                await db.execute("update media set state = 'QUARANTINED'")
    assert (await refused(public(service, path))).reason == "MEDIA_NOT_FOUND"
    assert (await get(ann, media_id)).renditions[0].public_url == ""


async def test_a_public_original_is_read_without_a_token(ann: Caller, service: Running) -> None:
    data = jpeg()
    stored = await ann.store(data, "sea side.jpg")
    assert stored.public_url == ""
    media_id = stored.media_id
    shown = await update(ann, ["visibility"], media_id=media_id, visibility=Media.PUBLIC_ORIGINAL)
    path = f"originals/{media_id}/1/sea%20side.jpg"
    assert shown.public_url == f"http://localhost:8080/v1/public/{path}"
    assert await public(service, path) == data
    assert await public(service, f"originals/{media_id}/1/another name") == data
    await give(service.environ, media_id, "small", SMALL)
    (small,) = (await get(ann, media_id)).renditions
    assert await public(service, small.public_url.partition("/v1/public/")[2]) == SMALL
    for other in (f"originals/{media_id}/2/a", f"originals/{media_id}/1/", f"originals/{media_id}"):
        assert (await refused(public(service, other))).reason == "MEDIA_NOT_FOUND"
    hidden = await update(ann, ["visibility"], media_id=media_id, visibility=Media.PUBLIC)
    assert hidden.public_url == ""
    assert (await refused(public(service, path))).reason == "MEDIA_NOT_FOUND"


async def test_a_public_original_is_refused_once_its_media_is_deleted(
    ann: Caller, service: Running
) -> None:
    media_id = (await ann.store(jpeg())).media_id
    await update(ann, ["visibility"], media_id=media_id, visibility=Media.PUBLIC_ORIGINAL)
    path = f"originals/{media_id}/1/a.jpg"
    await public(service, path)
    await ann.call(ann.media.DeleteMedia, media_service_pb2.DeleteMediaRequest(media_id=media_id))
    assert (await refused(public(service, path))).reason == "MEDIA_NOT_FOUND"


async def test_a_worker_moves_renditions_to_the_store_of_their_visibility(start: Start) -> None:
    working = await start(work=True)
    ann = await working.caller("ann")
    stored = await ann.store(jpeg())
    await until_done(ann, stored.media_id)  # its own "small" would replace the one given here
    await give(working.environ, stored.media_id, "small", SMALL)

    async def public_url() -> str:
        media = await get(ann, stored.media_id)
        return next(each.public_url for each in media.renditions if each.name == "small")

    for visibility in (Media.PUBLIC, Media.PRIVATE, Media.PUBLIC):
        await update(ann, ["visibility"], media_id=stored.media_id, visibility=visibility)
        wanted = visibility == Media.PUBLIC
        while bool(url := await public_url()) != wanted:
            pass
        assert await rendition(ann, stored.media_id, "small") == SMALL
    assert await public(working, url.partition("/v1/public/")[2]) == SMALL


async def test_public_urls_point_to_a_configured_cdn(start: Start) -> None:
    service = await start(cdn_base_url="https://cdn.example/images/")
    ann = await service.caller("ann")
    stored = await ann.store(jpeg())
    await update(ann, ["visibility"], media_id=stored.media_id, visibility=Media.PUBLIC)
    await give(service.environ, stored.media_id, "small", SMALL)
    (small,) = (await get(ann, stored.media_id)).renditions
    key = small.public_url.removeprefix("https://cdn.example/images/")
    assert (service.data_dir / "public" / key).read_bytes() == SMALL


async def test_media_are_filtered_by_visibility(ann: Caller, service: Running) -> None:
    media_id, _ = await published(service, ann)
    await ann.store(jpeg(), "private.jpg")
    request = media_service_pb2.ListMediaRequest(filter="visibility=PUBLIC")
    (found,) = (await ann.call(ann.media.ListMedia, request)).media
    assert found == await get(ann, media_id)
    assert found.renditions[0].public_url
    request = media_service_pb2.ListMediaRequest(filter="visibility=SECRET")
    assert (await refused(ann.call(ann.media.ListMedia, request))).reason == "INVALID_FILTER"


async def test_an_update_changes_visibility_only_when_set_or_masked(ann: Caller) -> None:
    media_id = (await ann.store(jpeg())).media_id
    # Without a mask, fields that are set change.
    assert (await update(ann, [], media_id=media_id, visibility=Media.PUBLIC)).visibility == (
        Media.PUBLIC
    )
    changed = await update(ann, [], media_id=media_id, title="Beach")
    assert (changed.title, changed.visibility) == ("Beach", Media.PUBLIC)
    # A masked field that is not set is reset.
    changed = await update(ann, ["visibility"], media_id=media_id)
    assert (changed.title, changed.visibility) == ("Beach", Media.PRIVATE)
    refusal = await refused(update(ann, ["visibility"], media_id=media_id, visibility=7))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["media.visibility"])


async def test_only_the_owner_changes_visibility(ann: Caller, bob: Caller) -> None:
    media_id = (await ann.store(jpeg())).media_id
    refusal = await refused(update(bob, [], media_id=media_id, visibility=Media.PUBLIC))
    assert refusal.reason == "MEDIA_NOT_FOUND"
    assert (await get(ann, media_id)).visibility == Media.PRIVATE


async def test_a_downloaded_rendition_has_a_filename_of_its_own(
    ann: Caller, service: Running
) -> None:
    """The filename of a public rendition does not reveal the owner's filename."""
    media_id, path = await published(service, ann)
    request = download_service_pb2.GetContentRequest(media_id=media_id, rendition="small")
    call = ann.downloads.GetContent(request, metadata=ann.metadata)
    headers = dict(await call.initial_metadata())
    assert headers["content-disposition"] == 'inline; filename="beach-small.webp"'
    assert headers["cache-control"] == "private, no-cache"
    public_request = download_service_pb2.GetPublicRequest(path=path)
    headers = dict(await ann.downloads.GetPublic(public_request).initial_metadata())
    assert headers["content-disposition"] == "inline"
    assert headers["cache-control"] == "public, max-age=3000, stale-while-revalidate=600"
