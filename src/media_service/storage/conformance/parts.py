"""Parts of open blobs."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from crc32c import crc32c

from media_service.errors import DataLoss
from media_service.storage.conformance.blobs import content, put, whole
from media_service.storage.conformance.fixtures import DriverFixtures
from media_service.storage.driver import Driver, PartName, StoredPart


class PartTests(DriverFixtures):
    async def test_a_part_is_written_in_pieces(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        writer = await driver.open_part(key, session, PartName(1, 1))
        await writer.write([b"one ", b"", b"two "])
        await writer.write([])
        await writer.write([b"three"])
        await writer.seal()
        await driver.complete(key, session, [StoredPart(PartName(1, 1), 13, sealed=True)])
        assert await content(driver, key) == b"one two three"

    async def test_sync_returns_how_much_is_durable(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        writer = await driver.open_part(key, session, PartName(1, 1))
        assert await writer.sync() == 0
        await writer.write([b"0123456789"])
        assert await writer.sync() in {0, 10}  # 0 if the driver keeps only sealed parts
        await writer.discard()

    async def test_one_write_takes_thousands_of_buffers(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        writer = await driver.open_part(key, session, PartName(1, 1))
        pieces = [bytes([n % 251]) * (n % 7) for n in range(5000)]
        await writer.write(pieces)
        await writer.seal()
        data = b"".join(pieces)
        await driver.complete(key, session, [StoredPart(PartName(1, 1), len(data), sealed=True)])
        assert await content(driver, key) == data

    async def test_the_same_number_in_another_epoch_is_another_part(
        self, driver: Driver, key: str
    ) -> None:
        session = await driver.begin(key)
        await put(driver, key, session, b"superseded", epoch=1)
        counted = await put(driver, key, session, b"counted", epoch=2)
        await driver.complete(key, session, [counted])
        assert await content(driver, key) == b"counted"

    async def test_parts_of_two_blobs_stay_separate(
        self, driver: Driver, fresh_key: Callable[[], str]
    ) -> None:
        one, other = fresh_key(), fresh_key()
        sessions = await driver.begin(one), await driver.begin(other)
        first = await put(driver, one, sessions[0], b"one")
        second = await put(driver, other, sessions[1], b"other")
        await driver.complete(one, sessions[0], [first])
        await driver.complete(other, sessions[1], [second])
        assert [await content(driver, one), await content(driver, other)] == [b"one", b"other"]

    async def test_a_discarded_part_is_removed(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        writer = await driver.open_part(key, session, PartName(1, 1))
        await writer.write([b"gone"])
        await writer.discard()
        with pytest.raises(DataLoss):
            await driver.complete(key, session, [StoredPart(PartName(1, 1), 4, sealed=False)])

    @pytest.mark.parametrize("before", ["discard", "seal", "abort", "complete"])
    async def test_discard_never_raises(self, driver: Driver, key: str, before: str) -> None:
        session = await driver.begin(key)
        writer = await driver.open_part(key, session, PartName(1, 1))
        await writer.write([b"bytes"])
        match before:
            case "discard":
                await writer.discard()
            case "seal":
                await writer.seal()
            case "abort":
                await driver.abort(key, session)
            case "complete":
                counted = await put(driver, key, session, b"counted", epoch=2)
                await driver.complete(key, session, [counted])
        await writer.discard()
        await writer.discard()

    async def test_a_part_can_be_opened_while_the_only_other_one_is_discarded(
        self, driver: Driver, key: str
    ) -> None:
        session = await driver.begin(key)
        writer = await driver.open_part(key, session, PartName(1, 1))
        for epoch in range(2, 200):
            _, writer = await asyncio.gather(
                writer.discard(), driver.open_part(key, session, PartName(1, epoch))
            )
        await writer.write([b"last"])
        await writer.seal()
        await driver.complete(key, session, [StoredPart(PartName(1, 199), 4, sealed=True)])
        assert await content(driver, key) == b"last"

    async def test_a_driver_that_signs_parts_reports_stored_parts(
        self, driver: Driver, key: str
    ) -> None:
        session = await driver.begin(key)
        first = await put(driver, key, session, whole(driver, b"first"))
        last = await put(driver, key, session, b"last", 2)
        request = await driver.sign_part(
            key, session, PartName(3, 1), 4, crc32c(b"more"), timedelta(hours=1)
        )
        names = [first.name, last.name, PartName(3, 1)]
        known = {
            first.name: (first.size, crc32c(whole(driver, b"first"))),
            last.name: (4, crc32c(b"last")),
        }
        found = await driver.stored_parts(key, session, names)
        if request is None:
            assert found in ({}, known)
        else:
            assert found == known
            assert driver.limits.max_signed_part_size
        await driver.complete(key, session, [first, last])
        assert await driver.stored_parts(key, session, names) == {}

    async def test_part_limits_are_consistent(self, driver: Driver) -> None:
        limits = driver.limits
        assert (limits.max_part_size is None) == (limits.target_part_size is None)
        assert (limits.max_part_size or 0) >= (limits.target_part_size or 0) >= limits.min_part_size
