"""Download: ranges, checksums, and failures."""

from typing import Any

import grpc
import pytest
from crc32c import crc32c as crc32c_of
from mediaservice.v1 import download_service_pb2

from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rpc.server import Caller, Running, refused, unknown_id
from tests.support.stores.local_files import blob_files

DATA = video_bytes(3_000_000)


async def all_of(call: Any) -> list[Any]:
    return [message async for message in call]


async def download(caller: Caller, media_id: str, offset: int = 0, limit: int = 0) -> list[Any]:
    request = download_service_pb2.DownloadRequest(media_id=media_id, offset=offset, limit=limit)
    return await all_of(caller.downloads.Download(request, metadata=caller.metadata))


@pytest.mark.parametrize(
    ("offset", "limit", "begin", "end"),
    [
        (0, 0, 0, 3_000_000),
        (0, 1, 0, 1),
        (1_000_000, 1_500_000, 1_000_000, 2_500_000),
        (2_999_999, 0, 2_999_999, 3_000_000),
        (2_999_990, 100, 2_999_990, 3_000_000),
        (-100, 0, 2_999_900, 3_000_000),
        (-100, 10, 2_999_900, 2_999_910),
        (-9_000_000, 0, 0, 3_000_000),
    ],
)
async def test_a_range_has_exactly_the_requested_bytes(
    ann: Caller, offset: int, limit: int, begin: int, end: int
) -> None:
    media = await ann.store_all(DATA)
    first, *rest = await download(ann, media.media_id, offset, limit)
    assert first.media == media
    found = first.content_range
    assert (found.start, found.end, found.complete_size_bytes) == (begin, end, len(DATA))
    assert b"".join(message.data for message in rest) == DATA[begin:end]
    assert all(message.crc32c == crc32c_of(message.data) for message in rest)
    assert not any(message.HasField("media") for message in rest)


@pytest.mark.parametrize("offset", [3_000_000, 3_000_001, 2**62])
async def test_a_range_past_the_end_is_refused(ann: Caller, offset: int) -> None:
    media = await ann.store_all(DATA)
    refusal = await refused(download(ann, media.media_id, offset))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.OUT_OF_RANGE, "RANGE_NOT_SATISFIABLE")
    assert refusal.headers["content-range"] == "bytes */3000000"
    assert refusal.headers["x-http-status"] == "416"


async def test_a_negative_limit_is_refused(ann: Caller) -> None:
    refusal = await refused(download(ann, unknown_id(), 0, -1))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["limit"])


async def test_missing_bytes_are_data_loss(ann: Caller, service: Running) -> None:
    media = await ann.store(jpeg())
    (blob,) = blob_files(service.data_dir / "raw")
    blob.unlink()
    refusal = await refused(download(ann, media.media_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DATA_LOSS, "BLOB_MISSING")
    assert str(service.data_dir) not in refusal.message


async def test_a_missing_rendition_is_not_found(ann: Caller) -> None:
    media = await ann.store(jpeg())
    request = download_service_pb2.DownloadRequest(media_id=media.media_id, rendition="tiny")
    refusal = await refused(all_of(ann.downloads.Download(request, metadata=ann.metadata)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "RENDITION_NOT_FOUND")
    assert refusal.metadata == {"media_id": media.media_id, "rendition": "tiny"}


async def test_a_missing_version_is_not_found(ann: Caller) -> None:
    media = await ann.store(jpeg())
    downloads = ann.downloads
    wanted: dict[str, Any] = {"media_id": media.media_id, "version": 2}
    for call in (
        downloads.Download(download_service_pb2.DownloadRequest(**wanted), metadata=ann.metadata),
        downloads.GetContent(
            download_service_pb2.GetContentRequest(**wanted), metadata=ann.metadata
        ),
        downloads.RenderImage(
            download_service_pb2.RenderImageRequest(**wanted), metadata=ann.metadata
        ),
    ):
        refusal = await refused(all_of(call))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "VERSION_NOT_FOUND")
        assert refusal.metadata == {"media_id": media.media_id, "version": "2"}
    for version in (0, 1):
        request = download_service_pb2.DownloadRequest(media_id=media.media_id, version=version)
        messages = await all_of(downloads.Download(request, metadata=ann.metadata))
        assert b"".join(message.data for message in messages) == jpeg()


async def test_a_quarantined_media_is_not_readable(ann: Caller, service: Running) -> None:
    media = await ann.store(jpeg())
    async with service.database() as db:
        await db.execute("update media set state = 'QUARANTINED'")
    refusal = await refused(download(ann, media.media_id))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "MEDIA_QUARANTINED",
    )
    assert refusal.headers["x-http-status"] == "409"


async def test_a_read_succeeds_after_readers_that_disconnected_early(ann: Caller) -> None:
    media = await ann.store_all(DATA)
    request = download_service_pb2.DownloadRequest(media_id=media.media_id)
    for _ in range(20):
        call = ann.downloads.Download(request, metadata=ann.metadata)
        await call.read()
        call.cancel()
    assert await ann.content(media.media_id) == DATA
