"""A new writer continues for a dead one. Late parts of the dead writer are never joined."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from media_service.errors import DataLoss, MediaError
from media_service.storage.conformance.blobs import content, keys, put, whole
from media_service.storage.conformance.fixtures import DriverFixtures
from media_service.storage.driver import Driver, PartName, StoredPart


async def opened(driver: Driver) -> set[str]:
    return {blob.key async for blob in driver.list_open()}


async def next_session(driver: Driver, key: str, session: str, number: int) -> str:
    """The session of a new writer that continues at this part number."""
    fresh = await driver.supersede(key, session, number)
    await driver.abort_unused(key, session, fresh)
    return fresh


async def three_writers(driver: Driver, key: str) -> tuple[str, list[StoredPart], bytes]:
    """Two writers that died with one part more than was counted, and one that finished."""
    session, parts, data = await driver.begin(key), list[StoredPart](), b""
    for epoch, letter in enumerate((b"first ", b"second "), 1):
        for _ in range(2):
            piece = whole(driver, letter * 1000)
            parts.append(await put(driver, key, session, piece, len(parts) + 1, epoch))
            data += piece
        late, old = whole(driver, b"late " * 1000), session
        await put(driver, key, old, late, len(parts) + 1, epoch)
        session = await next_session(driver, key, old, len(parts) + 1)
    parts.append(await put(driver, key, session, b"the end", len(parts) + 1, 3))
    # The dead writer's part, however late it arrives and whatever its number.
    await put(driver, key, old, late, len(parts) + 1, 2)
    return session, parts, data + b"the end"


class SuccessionTests(DriverFixtures):
    async def test_successive_writers_store_one_blob(self, driver: Driver, key: str) -> None:
        session, parts, data = await three_writers(driver, key)
        assert await driver.stat(key) is None
        await driver.complete(key, session, parts)
        assert await content(driver, key) == data
        assert await keys(driver, "") == {key}
        assert await opened(driver) == set()
        await driver.complete(key, session, parts)
        assert await content(driver, key) == data

    async def test_concurrent_completions_of_several_sessions(
        self, driver: Driver, reopened: Driver, fresh_key: Callable[[], str], rounds: int
    ) -> None:
        for _ in range(-(-rounds // 7)):
            key = fresh_key()
            session, parts, data = await three_writers(driver, key)
            joining = (one.complete(key, session, parts) for one in (driver, reopened) * 3)
            await asyncio.gather(*joining)
            assert await content(driver, key) == data
            assert await keys(driver, key) == {key}
            assert await opened(driver) == set()

    async def test_a_writer_that_starts_over_leaves_nothing_of_its_predecessors(
        self, driver: Driver, key: str
    ) -> None:
        session = await driver.begin(key)
        for epoch in range(1, 4):
            late = await driver.open_part(key, session, (name := PartName(1, epoch)))
            await late.write([b"late"])
            session = await next_session(driver, key, session, 1)
            with suppress(MediaError):
                await late.seal()
        part = await put(driver, key, session, b"counted", 1, 4)
        assert part.name != name
        await driver.complete(key, session, [part])
        assert await content(driver, key) == b"counted"
        assert await opened(driver) == set()

    async def test_sessions_without_parts_are_left_out(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        first = await put(driver, key, session, whole(driver, b"first"))
        for _ in range(3):
            session = await next_session(driver, key, session, 2)
        await driver.complete(key, session, [first])
        assert await content(driver, key) == whole(driver, b"first")
        assert await opened(driver) == set()

    async def test_a_session_that_lost_is_aborted(self, driver: Driver, key: str) -> None:
        session = await driver.begin(key)
        parts = [await put(driver, key, session, whole(driver, b"first"))]
        unused = await driver.supersede(key, session, 2)
        await driver.abort_unused(key, unused, session)
        await driver.abort_unused(key, unused, session)
        assert await opened(driver) == {key}
        parts.append(await put(driver, key, session, b"second", 2))
        await driver.complete(key, session, parts)
        assert await content(driver, key) == whole(driver, b"first") + b"second"

    async def test_abort_removes_the_parts_of_every_session(self, driver: Driver, key: str) -> None:
        session, parts, _ = await three_writers(driver, key)
        for _ in range(2):
            await driver.abort(key, session)
            assert await opened(driver) == set()
            assert await keys(driver, "") == set()
        with pytest.raises(DataLoss):
            await driver.complete(key, session, parts)
