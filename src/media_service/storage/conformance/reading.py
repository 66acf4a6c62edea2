"""Reads of whole blobs and of ranges."""

import asyncio
import hashlib
import sys
from contextlib import aclosing

import pytest

from media_service.errors import DataLoss, Reason
from media_service.storage.conformance.blobs import content, put, store
from media_service.storage.conformance.fixtures import DriverFixtures
from media_service.storage.driver import Driver

DATA = bytes(n * 7 % 256 for n in range(10_000))


class ReadTests(DriverFixtures):
    async def test_a_range_is_exact(self, driver: Driver, key: str) -> None:
        await store(driver, key, DATA)
        ranges = [(0, 10_000), (0, 1), (9_999, 1), (123, 4567), (5_000, 5_000)]
        for chunk in (1000, 4096, 1 << 20):
            for offset, length in ranges:
                pieces = [piece async for piece in driver.read(key, offset, length, chunk)]
                assert b"".join(pieces) == DATA[offset : offset + length]
                assert all(0 < len(piece) <= chunk for piece in pieces)

    async def test_a_range_may_be_empty(self, driver: Driver, key: str) -> None:
        await store(driver, key, DATA)
        for offset in (0, 5000, 10_000):
            assert [piece async for piece in driver.read(key, offset, 0, 100)] == []

    async def test_a_reader_may_stop_early(self, driver: Driver, key: str) -> None:
        await store(driver, key, DATA)
        for taken in range(3):
            async with aclosing(driver.read(key, 0, 10_000, 1000)) as pieces:
                for _ in range(taken):
                    assert len(await anext(pieces)) == 1000
        assert await content(driver, key) == DATA

    async def test_a_piece_belongs_to_its_reader(self, driver: Driver, key: str) -> None:
        await store(driver, key, DATA)
        async with aclosing(driver.read(key, 0, 10_000, 5000)) as pieces:
            piece = await anext(pieces)
            # The references of `piece` and of the argument.
            assert sys.getrefcount(piece) == 2

    async def test_concurrent_readers_get_their_own_ranges(self, driver: Driver, key: str) -> None:
        await store(driver, key, DATA)
        ranges = [(n * 13, 3000 + n) for n in range(40)]
        found = await asyncio.gather(*(content(driver, key, *span) for span in ranges))
        assert found == [DATA[start : start + length] for start, length in ranges]

    async def test_reading_past_the_end_is_data_loss(self, driver: Driver, key: str) -> None:
        await store(driver, key, DATA)
        for offset, length in ((0, 10_001), (9_999, 2), (10_000, 1), (20_000, 1)):
            with pytest.raises(DataLoss) as caught:
                await content(driver, key, offset, length)
            assert caught.value.reason is Reason.BLOB_MISSING

    async def test_reading_a_missing_blob_is_data_loss(self, driver: Driver, key: str) -> None:
        with pytest.raises(DataLoss) as caught:
            await content(driver, key, 0, 1)
        assert caught.value.reason is Reason.BLOB_MISSING

    async def test_a_reader_gets_all_bytes_or_data_loss_if_the_blob_is_deleted_meanwhile(
        self, driver: Driver, key: str
    ) -> None:
        await store(driver, key, DATA)
        async with aclosing(driver.read(key, 0, 10_000, 1000)) as pieces:
            found = await anext(pieces)
            await driver.delete(key)
            try:
                found += b"".join([piece async for piece in pieces])
            except DataLoss:
                return
        assert found == DATA

    async def test_a_blob_of_tens_of_megabytes_in_several_parts(
        self, driver: Driver, key: str
    ) -> None:
        session = await driver.begin(key)
        digest, parts = hashlib.sha256(), []
        for number, size in enumerate((16 << 20, 8 << 20, (8 << 20) + 12_345), 1):
            block = hashlib.shake_256(bytes([number])).digest(1 << 16)
            data = block * (size >> 16) + block[: size % (1 << 16)]
            digest.update(data)
            parts.append(await put(driver, key, session, data, number))
        await driver.complete(key, session, parts)
        found = hashlib.sha256()
        async for piece in driver.read(key, 0, sum(part.size for part in parts), 1 << 20):
            found.update(piece)
        assert found.digest() == digest.digest()
