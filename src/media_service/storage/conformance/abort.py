"""Abort of open blobs."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from media_service.clock import now
from media_service.errors import DataLoss
from media_service.storage.conformance.blobs import content, put, store, whole
from media_service.storage.conformance.fixtures import DriverFixtures
from media_service.storage.driver import Driver, PartName, StoredPart


class AbortTests(DriverFixtures):
    async def test_abort_removes_every_part_whether_counted_or_not(
        self, driver: Driver, key: str
    ) -> None:
        session = await driver.begin(key)
        known = await put(driver, key, session, b"known")
        unknown = await driver.open_part(key, session, PartName(2, 7))
        await unknown.write([b"unknown"])
        await unknown.sync()
        await driver.abort(key, session)
        for part in (known, StoredPart(PartName(2, 7), 7, sealed=False)):
            with pytest.raises(DataLoss):
                await driver.complete(key, session, [part])
        await unknown.discard()

    async def test_abort_is_idempotent_and_needs_no_parts(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        await driver.abort(key, session)
        await put(driver, key, await driver.begin(key), b"part")
        await asyncio.gather(*(driver.abort(key, session) for _ in range(4)))

    async def test_abort_keeps_a_completed_blob(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        part = await put(driver, key, session, b"finished")
        await driver.complete(key, session, [part])
        await driver.abort(key, session)
        assert await content(driver, key) == b"finished"

    async def test_abort_keeps_the_parts_of_other_blobs(
        self, driver: Driver, fresh_key: Callable[[], str]
    ) -> None:
        mine, other = fresh_key(), fresh_key()
        sessions = await driver.begin(mine), await driver.begin(other)
        part = await put(driver, other, sessions[1], b"stays")
        await driver.abort(mine, sessions[0])
        await driver.complete(other, sessions[1], [part])
        assert await content(driver, other) == b"stays"

    async def test_open_blobs_of_a_killed_process_are_listed_and_aborted(
        self, driver: Driver, reopened: Driver, key: str
    ) -> None:
        part = await put(driver, key, await driver.begin(key, "image/png"), b"part")
        (found,) = [blob async for blob in reopened.list_open()]
        assert found.key == key
        assert abs(found.modified - now()) < timedelta(minutes=1)
        await reopened.abort(found.key, found.session)
        assert [blob async for blob in reopened.list_open()] == []
        with pytest.raises(DataLoss):
            await driver.complete(key, found.session, [part])

    async def test_only_open_blobs_are_listed_as_open(
        self, driver: Driver, fresh_key: Callable[[], str]
    ) -> None:
        assert [blob async for blob in driver.list_open()] == []
        await store(driver, fresh_key(), whole(driver, b"one"), b"two")
        await driver.put(fresh_key(), b"small")
        opened = {key: await driver.begin(key) for key in (fresh_key() for _ in range(3))}
        for key, session in opened.items():
            await put(driver, key, session, b"first")
            await put(driver, key, session, b"second", 2)
        assert sorted([blob.key async for blob in driver.list_open()]) == sorted(opened)
        async for blob in driver.list_open():
            await driver.abort(blob.key, blob.session)
        assert [blob async for blob in driver.list_open()] == []
