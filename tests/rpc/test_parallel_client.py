"""Both clients upload a file as concurrent parts."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c as crc32c_of
from mediaservice.v1 import media_pb2, upload_pb2

from media_service.ids import new_id
from media_service_client import AsyncClient, Client, MediaServiceError
from media_service_client.plan import PART
from tests.support.media.small_files import video_bytes
from tests.support.rpc.held_calls import Held
from tests.support.rpc.parts import listed, named, put, sign
from tests.support.rpc.server import Running, token
from tests.support.rpc.sessions import write

MIB = 1 << 20
Upload = upload_pb2.Upload
SIZE = 2 * PART + 12345


@pytest.fixture(scope="module")
def data() -> bytes:
    return video_bytes(SIZE)


async def store(kind: str, service: Running, *arguments: Any, **options: Any) -> media_pb2.Media:
    if kind == "async":
        async with AsyncClient(service.address, token=token("ann")) as client:
            return await client.upload(*arguments, **options)
    with Client(service.address, token=token("ann")) as client:
        return await asyncio.to_thread(lambda: client.upload(*arguments, **options))


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_file_is_uploaded_in_parts(
    kind: str, service: Running, data: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(data)
    seen: list[tuple[int, int]] = []
    media = await store(
        kind, service, file, parallel=3, progress=lambda done, total: seen.append((done, total))
    )
    assert media.checksums.crc32c == crc32c_of(data)
    assert media.filename == "video.mp4"
    assert seen[-1] == (SIZE, SIZE)
    ann = await service.caller("ann")
    assert await ann.content(media.media_id) == data


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_only_missing_parts_are_sent(kind: str, service: Running, data: bytes) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await put(ann, upload_id, 1, data[:PART])
    await put(ann, upload_id, 3, data[2 * PART :])
    media = await store(kind, service, data, upload_id=upload_id, parallel=2)
    assert media.checksums.crc32c == crc32c_of(data)
    # Once the upload is finished, nothing is sent.
    assert await store(kind, service, data, upload_id=upload_id, parallel=2) == media


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_parts_continue_after_the_bytes_of_a_stream(
    kind: str, service: Running, data: bytes
) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await write(ann, upload_id, data[: 1 << 20])
    media = await store(kind, service, data, upload_id=upload_id, parallel=2)
    assert media.checksums.crc32c == crc32c_of(data)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_parts_supersede_a_stream_that_is_still_writing(
    kind: str, service: Running, data: bytes
) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    stream = Held(ann, upload_id, 0, data[:MIB], data[MIB : 2 * MIB])
    await stream.counted(MIB)
    media = await store(kind, service, data, upload_id=upload_id, parallel=2)
    assert media.checksums.crc32c == crc32c_of(data)
    assert (await stream.refused()).reason in {"SUPERSEDED", "UPLOAD_NOT_ACTIVE"}


async def test_parts_continue_after_the_bytes_of_a_stream_on_s3(
    s3_service: Running, data: bytes
) -> None:
    ann = await s3_service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    stream = Held(ann, upload_id, 0, data[: 9 * MIB])
    await stream.counted(8 * MIB)
    media = await store("sync", s3_service, data, upload_id=upload_id, parallel=2)
    assert (await stream.refused()).reason in {"SUPERSEDED", "UPLOAD_NOT_ACTIVE"}
    assert media.checksums.crc32c == crc32c_of(data)
    assert await ann.uploaded(upload_id) == data


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_upload_with_parts_of_another_size_continues_with_that_size(
    kind: str, service: Running, data: bytes
) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await write(ann, upload_id, data[:1000])
    rest = data[1000:]
    await put(ann, upload_id, 3, rest[4 * MIB : 8 * MIB])
    await put(ann, upload_id, 10, rest[32 * MIB :])
    media = await store(kind, service, data, upload_id=upload_id, parallel=2)
    assert media.checksums.crc32c == crc32c_of(data)
    assert await ann.uploaded(upload_id) == data


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("size", [PART, 1000], ids=["of our size", "of another size"])
async def test_a_part_at_another_offset_is_refused_before_anything_is_sent(
    kind: str, size: int, service: Running, data: bytes
) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await put(ann, upload_id, 2, data[PART + MIB :][:size])
    before = await listed(ann, upload_id)
    with pytest.raises(MediaServiceError) as caught:
        await store(kind, service, data, upload_id=upload_id, parallel=3)
    assert (caught.value.reason, caught.value.metadata) == ("PART_CONFLICT", {"part_number": "2"})
    assert caught.value.upload_id == upload_id
    assert await listed(ann, upload_id) == before
    assert (await ann.get_upload(upload_id)).state == Upload.ACTIVE


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_idempotency_key_of_other_bytes_is_refused_before_anything_is_sent(
    kind: str, service: Running, data: bytes
) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await sign(ann, upload_id, named(2, data[PART:][:MIB]))
    with pytest.raises(MediaServiceError) as caught:
        await store(kind, service, data, upload_id=upload_id, parallel=3)
    assert (caught.value.reason, caught.value.metadata) == ("PART_CONFLICT", {"part_number": "2"})
    assert "Go on without parallel parts" in caught.value.message
    assert await listed(ann, upload_id) == []
    media = await store(kind, service, data, upload_id=upload_id)
    assert media.checksums.crc32c == crc32c_of(data)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_claimed_parts_without_bytes_are_sent(
    kind: str, service: Running, data: bytes
) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await sign(ann, upload_id, named(2, data[PART : 2 * PART]))
    media = await store(kind, service, data, upload_id=upload_id, parallel=3)
    assert media.checksums.crc32c == crc32c_of(data)


async def test_claimed_parts_without_bytes_are_sent_to_s3(s3_service: Running, data: bytes) -> None:
    ann = await s3_service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await sign(ann, upload_id, named(2, data[PART : 2 * PART]))
    media = await store("sync", s3_service, data, upload_id=upload_id, parallel=3)
    assert media.checksums.crc32c == crc32c_of(data)
    assert await ann.uploaded(upload_id) == data


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_resuming_with_a_different_file_is_refused_before_anything_is_sent(
    kind: str, service: Running, data: bytes
) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await put(ann, upload_id, 1, data[:PART])
    with pytest.raises(MediaServiceError, match="its part 1 has other bytes") as caught:
        await store(kind, service, b"x" + data[1:], upload_id=upload_id, parallel=3)
    assert caught.value.reason == "SOURCE_CHANGED"
    assert await listed(ann, upload_id) == [named(1, data[:PART])]
    media = await store(kind, service, data, upload_id=upload_id, parallel=3)
    assert media.checksums.crc32c == crc32c_of(data)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_stream_that_continues_other_bytes_creates_no_media(
    kind: str, service: Running, data: bytes
) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await put(ann, upload_id, 1, b"x" + data[1:PART])
    with pytest.raises(MediaServiceError) as caught:
        await store(kind, service, data, upload_id=upload_id)
    assert caught.value.reason == "CHECKSUM_MISMATCH"
    assert (await ann.get_upload(upload_id)).state == Upload.FAILED


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("parallel", [1, 2])
async def test_a_request_id_stores_a_file_once(
    kind: str, parallel: int, service: Running, data: bytes
) -> None:
    key = new_id()
    stored = await store(kind, service, data, request_id=key, parallel=parallel)
    assert await store(kind, service, data, request_id=key, parallel=parallel) == stored
    with pytest.raises(MediaServiceError) as caught:
        await store(kind, service, data[:-1], request_id=key, parallel=parallel)
    assert caught.value.reason == "IDEMPOTENCY_CONFLICT"


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_the_first_failed_part_stops_the_upload(
    kind: str, service: Running, data: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "video.mp4"
    file.write_bytes(data)

    def cut_off(done: int, total: int) -> None:
        with file.open("r+b") as opened:
            opened.truncate(1000)

    with pytest.raises(MediaServiceError) as caught:
        await store(kind, service, file, parallel=2, progress=cut_off)
    assert caught.value.reason == "SOURCE_CHANGED"
    ann = await service.caller("ann")
    assert (await ann.get_upload(caught.value.upload_id)).state == Upload.ACTIVE
