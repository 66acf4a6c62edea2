"""A worker copies an original from an object store once for all of its readers."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from media_service.blobs.model import Blob
from media_service.errors import DataLoss
from media_service.renditions.local_copies import LocalCopies
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.drivers.memory import MemoryDriver
from media_service.storage.piece_size import PieceSize

BYTES = b"the bytes of a video"
BLOB = Blob("1", "raw", "blobs/1", len(BYTES), Checksums())


class Counted(MemoryDriver):
    """Counts reads."""

    reads = 0

    async def read(
        self, key: str, offset: int, length: int, piece_size: PieceSize
    ) -> AsyncGenerator[bytes, None]:
        self.reads += 1
        await asyncio.sleep(0)
        async for piece in super().read(key, offset, length, piece_size):
            yield piece


@pytest.fixture
async def driver() -> Counted:
    driver = Counted()
    await driver.put(BLOB.key, BYTES, "video/mp4")
    return driver


async def read(copies: LocalCopies, store: BlobStore) -> Path:
    async with copies.open(store, BLOB) as path:
        assert path.read_bytes() == BYTES
        return path


async def test_concurrent_and_soon_following_readers_share_a_copy(driver: Counted) -> None:
    store = BlobStore("raw", driver)
    async with LocalCopies() as copies:
        first = await asyncio.gather(*(read(copies, store) for _ in range(5)))
        assert {*first, await read(copies, store)} == {first[0]}
        assert driver.reads == 1
    assert not first[0].exists()


async def test_a_copy_is_removed_some_time_after_its_last_reader(driver: Counted) -> None:
    store = BlobStore("raw", driver)
    async with LocalCopies(keep_seconds=0.05) as copies:
        path = await read(copies, store)
        async with asyncio.timeout(5):
            while path.exists():
                await asyncio.sleep(0.01)
        await read(copies, store)
        assert driver.reads == 2


async def test_a_failed_copy_is_retried(driver: Counted) -> None:
    store = BlobStore("raw", driver)
    await driver.delete(BLOB.key)
    async with LocalCopies() as copies:
        with pytest.raises(DataLoss):
            await read(copies, store)
        await driver.put(BLOB.key, BYTES, "video/mp4")
        await read(copies, store)


async def test_a_cancelled_reader_does_not_cancel_the_copy_of_others(driver: Counted) -> None:
    store = BlobStore("raw", driver)
    async with LocalCopies() as copies:
        impatient = asyncio.create_task(read(copies, store))
        patient = asyncio.create_task(read(copies, store))
        await asyncio.sleep(0)
        impatient.cancel()
        await patient
        assert driver.reads == 1
