"""A worker copies an original from an object store once, whoever reads it there."""

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

BYTES = b"the bytes of a video"
BLOB = Blob("1", "raw", "blobs/1", len(BYTES), Checksums())


class Counted(MemoryDriver):
    """Counts reads."""

    reads = 0

    async def read(
        self, key: str, offset: int, length: int, chunk_size: int
    ) -> AsyncGenerator[bytes, None]:
        self.reads += 1
        await asyncio.sleep(0)
        async for piece in super().read(key, offset, length, chunk_size):
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


async def test_all_who_read_at_once_or_soon_after_share_a_copy(driver: Counted) -> None:
    store = BlobStore("raw", driver)
    async with LocalCopies() as copies:
        first = await asyncio.gather(*(read(copies, store) for _ in range(5)))
        assert {*first, await read(copies, store)} == {first[0]}
        assert driver.reads == 1
    assert not first[0].exists()


async def test_a_copy_goes_a_while_after_the_last_who_read_it(driver: Counted) -> None:
    store = BlobStore("raw", driver)
    async with LocalCopies(keep_seconds=0.05) as copies:
        path = await read(copies, store)
        async with asyncio.timeout(5):
            while path.exists():
                await asyncio.sleep(0.01)
        await read(copies, store)
        assert driver.reads == 2


async def test_what_could_not_be_copied_is_tried_again(driver: Counted) -> None:
    store = BlobStore("raw", driver)
    await driver.delete(BLOB.key)
    async with LocalCopies() as copies:
        with pytest.raises(DataLoss):
            await read(copies, store)
        await driver.put(BLOB.key, BYTES, "video/mp4")
        await read(copies, store)


async def test_who_goes_away_leaves_the_copy_to_the_others(driver: Counted) -> None:
    store = BlobStore("raw", driver)
    async with LocalCopies() as copies:
        impatient = asyncio.create_task(read(copies, store))
        patient = asyncio.create_task(read(copies, store))
        await asyncio.sleep(0)
        impatient.cancel()
        await patient
        assert driver.reads == 1
