"""Completion: parts are joined into a blob."""

import asyncio
from collections.abc import Callable

import pytest

from media_service.errors import DataLoss, Reason
from media_service.storage.conformance.blobs import content, keys, put, whole
from media_service.storage.conformance.fixtures import DriverFixtures
from media_service.storage.driver import Driver, PartName, StoredPart


class CompletionTests(DriverFixtures):
    async def test_parts_are_joined_in_the_given_order(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        pieces = [whole(driver, b"first "), whole(driver, b"second "), b"third"]
        parts = [await put(driver, key, session, pieces[n], n + 1) for n in (2, 0, 1)]
        await driver.complete(key, session, [parts[1], parts[2], parts[0]])
        assert await content(driver, key) == b"".join(pieces)

    async def test_only_the_counted_bytes_of_an_open_part_are_joined(
        self, driver: Driver, key: str
    ) -> None:
        session = await driver.begin(key)
        name = PartName(1, 1)
        writer = await driver.open_part(key, session, name)
        counted = whole(driver, b"counted")
        await writer.write([counted])
        if not await writer.sync():
            return  # only sealed parts are durable, so an open one is never counted
        await writer.write([b"never counted"])
        last = await put(driver, key, session, b" and the rest", 2, epoch=2)
        await driver.complete(key, session, [StoredPart(name, len(counted), sealed=False), last])
        assert await content(driver, key) == counted + b" and the rest"
        await writer.discard()

    @pytest.mark.parametrize("then", ["seal", "discard"])
    async def test_a_superseded_writer_never_changes_the_blob(
        self, driver: Driver, key: str, then: str
    ) -> None:
        session = await driver.begin(key)
        name = PartName(1, 1)
        late = await driver.open_part(key, session, name)
        await late.write([b"counted"])
        if not await late.sync():
            return  # only sealed parts are durable, so an open one is never counted
        await driver.complete(key, session, [StoredPart(name, 7, sealed=False)])
        await late.write([b" too late"])
        await late.sync()
        await (late.seal() if then == "seal" else late.discard())
        assert await content(driver, key) == b"counted"
        info = await driver.stat(key)
        assert info is not None
        assert info.size == 7

    async def test_complete_is_idempotent(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        parts = [await put(driver, key, session, whole(driver, b"a"), 1)]
        parts.append(await put(driver, key, session, b"b", 2))
        for _ in range(3):
            await driver.complete(key, session, parts)
        assert await content(driver, key) == whole(driver, b"a") + b"b"

    async def test_concurrent_completions_store_one_blob(
        self, driver: Driver, fresh_key: Callable[[], str], rounds: int
    ) -> None:
        for _ in range(rounds):
            key = fresh_key()
            session = await driver.begin(key)
            parts = [await put(driver, key, session, whole(driver, b"one"), 1)]
            parts.append(await put(driver, key, session, b"two", 2))
            await asyncio.gather(*(driver.complete(key, session, parts) for _ in range(8)))
            assert await content(driver, key) == whole(driver, b"one") + b"two"

    async def test_an_open_blob_is_invisible(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        part = await put(driver, key, session, b"data")
        assert await driver.stat(key) is None
        assert await keys(driver, "") == set()
        with pytest.raises(DataLoss):
            await content(driver, key, 0, 4)
        await driver.complete(key, session, [part])
        assert await keys(driver, "") == {key}

    async def test_a_missing_part_is_data_loss(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        first = await put(driver, key, session, whole(driver, b"first"))
        lost = StoredPart(PartName(2, 1), 4, sealed=True)
        with pytest.raises(DataLoss) as caught:
            await driver.complete(key, session, [first, lost])
        assert caught.value.reason is Reason.BLOB_MISSING
        assert await driver.stat(key) is None

    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.parametrize("sealed", [True, False])
    async def test_a_part_that_is_too_short_is_data_loss(
        self, driver: Driver, key: str, number: int, sealed: bool
    ) -> None:
        session = await driver.begin(key)
        parts = [await put(driver, key, session, whole(driver, b"some bytes"), n) for n in (1, 2)]
        parts[number - 1] = StoredPart(PartName(number, 1), parts[0].size + 1, sealed)
        with pytest.raises(DataLoss):
            await driver.complete(key, session, parts[:number])
        assert await driver.stat(key) is None

    async def test_a_failed_completion_can_be_repeated(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        first = await put(driver, key, session, whole(driver, b"first "), 1)
        second = await put(driver, key, session, whole(driver, b"second "), 2)
        third = StoredPart(PartName(3, 2), 5, sealed=True)
        with pytest.raises(DataLoss):
            await driver.complete(key, session, [first, second, third])
        await put(driver, key, session, b"third", 3, epoch=2)
        await driver.complete(key, session, [first, second, third])
        joined = whole(driver, b"first ") + whole(driver, b"second ") + b"third"
        assert await content(driver, key) == joined
