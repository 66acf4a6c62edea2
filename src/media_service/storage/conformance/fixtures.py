"""Fixtures of the suite: drivers on stores that are empty when a test starts."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from media_service.ids import new_id
from media_service.storage.driver import Driver
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.storage.drivers.memory import MemoryDriver

# Opens the store with the given name. Calls with the same name open the same store, as in a
# second process.
OpenDriver = Callable[[str], Driver]


class DriverFixtures:
    """Needs one fixture: `open_driver`, an `OpenDriver`."""

    pytestmark = pytest.mark.asyncio

    @pytest_asyncio.fixture
    async def driver(self, open_driver: OpenDriver) -> AsyncIterator[Driver]:
        driver = open_driver("store")
        yield driver
        await driver.close()

    @pytest_asyncio.fixture
    async def reopened(self, open_driver: OpenDriver) -> AsyncIterator[Driver]:
        """The same store, opened again as by another process."""
        driver = open_driver("store")
        yield driver
        await driver.close()

    @pytest_asyncio.fixture
    async def sibling(self, open_driver: OpenDriver) -> AsyncIterator[Driver]:
        """Another store of the same kind."""
        driver = open_driver("sibling")
        yield driver
        await driver.close()

    @pytest_asyncio.fixture
    async def foreign(self, driver: Driver, tmp_path: Path) -> AsyncIterator[Driver]:
        """A store of another kind."""
        foreign = LocalDriver(tmp_path) if isinstance(driver, MemoryDriver) else MemoryDriver()
        yield foreign
        await foreign.close()

    @pytest.fixture
    def rounds(self) -> int:
        """How often a race is repeated."""
        return 20

    @pytest.fixture
    def key(self) -> str:
        return new_key()

    @pytest.fixture
    def fresh_key(self) -> Callable[[], str]:
        """Creates keys, for tests that need several blobs."""
        return new_key


def new_key() -> str:
    name = new_id()
    return f"blobs/{name[-2:]}/{name}"
