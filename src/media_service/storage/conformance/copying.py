"""Copies of blobs between stores, by the backend if it supports that."""

import asyncio
from contextlib import suppress

import pytest

from media_service.errors import DataLoss
from media_service.storage import blob_store as blobs
from media_service.storage.blob_store import BlobStore
from media_service.storage.conformance.blobs import content, keys, put, store, whole
from media_service.storage.conformance.fixtures import DriverFixtures
from media_service.storage.driver import Driver

DATA = bytes(n % 251 for n in range(100_000))


def several_parts(driver: Driver) -> bytes:
    """Enough bytes for several parts, if the driver divides streams into parts."""
    size = 2 * (driver.limits.target_part_size or 1000) + 5
    return (DATA * (size // len(DATA) + 1))[:size]


class CopyTests(DriverFixtures):
    @pytest.mark.parametrize("size", [0, 1, 100_000])
    async def test_a_copy_is_complete_or_declined(
        self, driver: Driver, sibling: Driver, key: str, size: int
    ) -> None:
        await driver.put(key, DATA[:size])
        copied = await sibling.copy(driver, key, "blobs/00/copy", size, "image/png")
        await driver.delete(key)
        assert await keys(sibling, "") == ({"blobs/00/copy"} if copied else set())
        if copied:
            assert await content(sibling, "blobs/00/copy") == DATA[:size]
        assert [blob async for blob in sibling.list_open()] == []

    async def test_copy_is_idempotent_and_may_run_concurrently(
        self, driver: Driver, sibling: Driver, key: str
    ) -> None:
        await store(driver, key, DATA)
        await asyncio.gather(*(sibling.copy(driver, key, key, len(DATA), "") for _ in range(8)))
        if await sibling.copy(driver, key, key, len(DATA), ""):
            assert await content(sibling, key) == DATA
        assert [blob async for blob in sibling.list_open()] == []

    @pytest.mark.parametrize("size", [99_999, 100_001, 0])
    async def test_a_missing_blob_is_never_copied(
        self, driver: Driver, sibling: Driver, key: str, size: int
    ) -> None:
        if size:
            await store(driver, key, DATA)
        copied = False
        with suppress(DataLoss):
            copied = await sibling.copy(driver, key, key, size, "")
        assert not copied
        assert await keys(sibling, "") == set()
        assert [blob async for blob in sibling.list_open()] == []

    async def test_copy_from_another_kind_of_store_is_declined(
        self, driver: Driver, foreign: Driver, key: str
    ) -> None:
        await store(foreign, key, DATA)
        assert not await driver.copy(foreign, key, key, len(DATA), "")
        assert await keys(driver, "") == set()

    async def test_a_blob_store_copies_from_any_driver(
        self, driver: Driver, foreign: Driver, key: str
    ) -> None:
        for size in (0, 1, 5000):
            await foreign.put(f"{key}-{size}", DATA[:size])
            await BlobStore("public", driver).copy_from(
                BlobStore("raw", foreign), f"{key}-{size}", f"{key}-{size}", size, "image/png"
            )
            assert await content(driver, f"{key}-{size}") == DATA[:size]

    async def test_a_blob_store_copies_a_large_blob_in_parts(
        self, driver: Driver, foreign: Driver, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(blobs, "SMALL", 20)
        data = several_parts(driver)
        await foreign.put(key, data)
        source, target = BlobStore("raw", foreign), BlobStore("public", driver)
        await put(driver, key, await driver.begin(key), b"left by a writer that died")
        for _ in range(2):
            await target.copy_from(source, key, key, len(data), "image/png")
            assert await content(driver, key) == data
        await foreign.delete(key)
        await target.copy_from(source, key, key, len(data), "image/png")  # already copied

    async def test_a_blob_store_copies_to_any_driver(
        self, driver: Driver, foreign: Driver, key: str
    ) -> None:
        data = whole(driver, b"first") + b"second"
        await store(driver, key, whole(driver, b"first"), b"second")
        await BlobStore("public", foreign).copy_from(
            BlobStore("raw", driver), key, key, len(data), "image/png"
        )
        assert await content(foreign, key) == data

    async def test_a_failed_copy_leaves_nothing(
        self, driver: Driver, foreign: Driver, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(blobs, "SMALL", 20)
        data = several_parts(driver)
        await foreign.put(key, data[:-1])
        with pytest.raises(DataLoss):
            await BlobStore("public", driver).copy_from(
                BlobStore("raw", foreign), key, key, len(data), "image/png"
            )
        assert await keys(driver, "") == set()
        assert [blob async for blob in driver.list_open()] == []
