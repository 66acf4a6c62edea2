"""Every storage driver, for one suite: a new backend adds a fixture's name here, no tests."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from media_service.storage.driver import Driver
from media_service.storage.local import LocalDriver
from media_service.storage.memory import MemoryDriver
from media_service.types import new_id
from tests.conformance.whole_parts import WholePartDriver


@pytest.fixture
async def memory() -> AsyncIterator[MemoryDriver]:
    driver = MemoryDriver()
    yield driver
    await driver.close()


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalDriver]:
    driver = LocalDriver(tmp_path / "store")
    yield driver
    await driver.close()


@pytest.fixture
def whole_parts() -> WholePartDriver:
    return WholePartDriver()


@pytest.fixture(params=["memory", "local", "whole_parts"])
def driver(request: pytest.FixtureRequest) -> Driver:
    made: Driver = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def key() -> str:
    return new_key()


def new_key() -> str:
    name = new_id()
    return f"blobs/{name[-2:]}/{name}"


@pytest.fixture
def fresh_key() -> Callable[[], str]:
    """For tests that run many examples on one driver."""
    return new_key
