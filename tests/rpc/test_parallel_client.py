"""Both clients send a file as parts, several at a time."""

import asyncio
from pathlib import Path

import pytest
from crc32c import crc32c as crc32c_of

from media_service.client import AsyncClient, Client, MediaServiceError
from media_service.client.parallel import PART
from media_service.types import new_id
from tests.media_files import film
from tests.rpc.conftest import Running, token
from tests.rpc.test_parts import put
from tests.rpc.test_sessions import write

SIZE = 2 * PART + 12345


@pytest.fixture(scope="module")
def data() -> bytes:
    return film(SIZE)


async def store(kind: str, service: Running, *arguments: object, **options: object) -> object:
    if kind == "async":
        async with AsyncClient(service.address, token=token("ann")) as client:
            return await client.upload(*arguments, **options)
    with Client(service.address, token=token("ann")) as client:
        return await asyncio.to_thread(lambda: client.upload(*arguments, **options))


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_file_goes_up_in_parts(
    kind: str, service: Running, data: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "film.mp4"
    file.write_bytes(data)
    seen: list[tuple[int, int]] = []
    media = await store(
        kind, service, file, parallel=3, progress=lambda done, total: seen.append((done, total))
    )
    assert media.checksums.crc32c == crc32c_of(data)
    assert media.filename == "film.mp4"
    assert seen[-1] == (SIZE, SIZE)
    ann = await service.caller("ann")
    assert await ann.content(media.media_id) == data


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_only_what_is_missing_is_sent(kind: str, service: Running, data: bytes) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await put(ann, upload_id, 1, data[:PART])
    await put(ann, upload_id, 3, data[2 * PART :])
    media = await store(kind, service, data, upload_id=upload_id, parallel=2)
    assert media.checksums.crc32c == crc32c_of(data)
    # And once it is finished, nothing at all.
    assert await store(kind, service, data, upload_id=upload_id, parallel=2) == media


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_it_goes_on_behind_what_a_stream_wrote(
    kind: str, service: Running, data: bytes
) -> None:
    ann = await service.caller("ann")
    upload_id = new_id()
    await ann.create(size_bytes=SIZE, upload_id=upload_id)
    await write(ann, upload_id, data[: 1 << 20])
    media = await store(kind, service, data, upload_id=upload_id, parallel=2)
    assert media.checksums.crc32c == crc32c_of(data)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_file_that_is_not_what_was_begun_is_refused(
    kind: str, service: Running, data: bytes
) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await put(ann, upload_id, 2, b"x" * PART)
    with pytest.raises(MediaServiceError) as caught:
        await store(kind, service, b"y" * SIZE, upload_id=upload_id, parallel=3)
    assert caught.value.reason in {"CHECKSUM_MISMATCH", "TYPE_NOT_ALLOWED"}
    assert caught.value.upload_id == upload_id


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_the_first_failure_ends_all(kind: str, service: Running, data: bytes) -> None:
    ann = await service.caller("ann")
    upload_id = (await ann.create(size_bytes=SIZE)).upload_id
    await put(ann, upload_id, 2, data[:1000])  # of another cut: no room is left for the rest
    with pytest.raises(MediaServiceError) as caught:
        await store(kind, service, data, upload_id=upload_id, parallel=2)
    assert caught.value.reason in {"SIZE_EXCEEDED", "CHECKSUM_MISMATCH", "UPLOAD_INCOMPLETE"}
