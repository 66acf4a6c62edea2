"""The marker of a store. Without it, a blob is not missing, but out of reach."""

from contextlib import suppress

import pytest
import pytest_asyncio

from media_service.errors import DataLoss, Reason, Unavailable
from media_service.storage.conformance.blobs import content, keys, store
from media_service.storage.conformance.fixtures import DriverFixtures
from media_service.storage.driver import Driver, PartName, StoredPart
from media_service.storage.marked_driver import (
    KEY,
    MarkedDriver,
    read_marker,
    write_marker,
    wrong_marker,
)

MARKER = "0190b5a8-0000-7000-8000-000000000000"


def marked_driver(driver: Driver) -> MarkedDriver:
    async def identify() -> str:
        if (found := await read_marker(driver)) != MARKER:
            raise wrong_marker(found)
        return found

    return MarkedDriver(driver, identify)


class MarkerTests(DriverFixtures):
    @pytest_asyncio.fixture
    async def marked(self, driver: Driver) -> MarkedDriver:
        await write_marker(driver, MARKER)
        await driver.guard(KEY)
        return marked_driver(driver)

    async def test_a_marker_is_read_by_every_process(
        self, marked: MarkedDriver, reopened: Driver, sibling: Driver
    ) -> None:
        assert await read_marker(reopened) == MARKER
        assert await read_marker(sibling) == ""
        await marked.check()

    async def test_a_marker_is_no_blob(self, marked: MarkedDriver, key: str) -> None:
        assert await keys(marked, "") == set()
        await store(marked, key, b"bytes")
        assert await keys(marked, "") == {key}
        assert await content(marked, key) == b"bytes"

    async def test_a_store_with_its_marker_has_lost_what_is_missing(
        self, marked: MarkedDriver, key: str
    ) -> None:
        assert await marked.stat(key) is None
        with pytest.raises(DataLoss):
            await content(marked, key, 0, 4)
        with pytest.raises(DataLoss):
            await marked.complete(key, await marked.begin(key), [lost_part()])

    @pytest.mark.parametrize("marker", ["", "0190b5a8-0000-7000-8000-000000000001"])
    async def test_a_store_without_its_marker_is_unavailable(
        self, marked: MarkedDriver, reopened: Driver, key: str, marker: str
    ) -> None:
        session = await marked.begin(key)
        await reopened.delete(KEY)
        if marker:
            await write_marker(reopened, marker)
        for failing in (
            marked.check_marker(),
            marked.check(),
            marked.stat(key),
            content(marked, key, 0, 4),
            marked.complete(key, session, [lost_part()]),
        ):
            with pytest.raises(Unavailable) as caught:
                await failing
            assert caught.value.reason is Reason.STORAGE_UNAVAILABLE

    async def test_nothing_is_accepted_from_the_moment_on_that_the_marker_is_missing(
        self, marked: MarkedDriver, reopened: Driver, key: str
    ) -> None:
        """As in a bucket that was deleted and created again."""
        await marked.put(key, b"before")
        await reopened.delete(KEY)
        with pytest.raises(Unavailable):
            await marked.check()
        for failing in (
            marked.put(key, b"after"),
            marked.begin(key),
            content(marked, key, 0, 6),
        ):
            with pytest.raises(Unavailable) as caught:
                await failing
            assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
        await write_marker(reopened, MARKER)
        assert await content(marked, key, 0, 6) == b"before"

    async def test_a_copy_from_a_store_without_its_marker_is_unavailable_or_declined(
        self, marked: MarkedDriver, reopened: Driver, sibling: Driver, key: str
    ) -> None:
        await write_marker(sibling, MARKER)
        target = marked_driver(sibling)
        await reopened.delete(KEY)
        with suppress(Unavailable):
            assert not await target.copy(marked, key, key, 4, "")


def lost_part() -> StoredPart:
    return StoredPart(PartName(1, 1), 4, sealed=True)
