"""Stat, list and delete of blobs."""

from datetime import timedelta

from media_service.clock import now
from media_service.storage.conformance.blobs import keys, put, store
from media_service.storage.conformance.fixtures import DriverFixtures
from media_service.storage.driver import Driver


class ListTests(DriverFixtures):
    async def test_stat_returns_size_and_time(self, driver: Driver, key: str) -> None:
        await store(driver, key, b"12345")
        info = await driver.stat(key)
        assert info is not None
        assert (info.key, info.size) == (key, 5)
        assert abs(info.modified - now()) < timedelta(minutes=1)

    async def test_stat_of_a_missing_blob_is_none(self, driver: Driver, key: str) -> None:
        assert await driver.stat(key) is None

    async def test_delete_is_idempotent(self, driver: Driver, key: str) -> None:
        await store(driver, key, b"data")
        await driver.delete(key)
        await driver.delete(key)
        assert await driver.stat(key) is None
        assert await keys(driver, "") == set()

    async def test_list_returns_the_blobs_with_a_prefix(self, driver: Driver) -> None:
        stored = ["blobs/aa/one", "blobs/aa/two", "blobs/ab/three"]
        for key in stored:
            await store(driver, key, key.encode())
        await put(driver, "blobs/aa/open", await driver.begin("blobs/aa/open"), b"an open part")
        assert await keys(driver, "") == set(stored)
        assert await keys(driver, "blobs/") == set(stored)
        assert await keys(driver, "blobs/aa/") == set(stored[:2])
        assert await keys(driver, "blobs/aa/t") == {"blobs/aa/two"}
        assert await keys(driver, "blobs/a") == set(stored)
        assert await keys(driver, "elsewhere/") == set()

    async def test_the_list_of_an_empty_store_is_empty(self, driver: Driver) -> None:
        assert await keys(driver, "") == set()

    async def test_list_returns_sizes(self, driver: Driver, key: str) -> None:
        await store(driver, key, b"12345")
        assert [info.size async for info in driver.list("blobs/")] == [5]

    async def test_a_local_path_holds_the_blob(self, driver: Driver, key: str) -> None:
        await store(driver, key, b"data")
        path = driver.local_path(key)
        assert path is None or path.read_bytes() == b"data"
