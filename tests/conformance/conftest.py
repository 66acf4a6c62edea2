"""Every storage driver, for one suite: a new backend adds a fixture's name here, no tests."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from media_service.ids import new_id
from media_service.storage.driver import Driver
from media_service.storage.drivers.gcs.driver import GcsDriver
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.storage.drivers.memory import MemoryDriver
from media_service.storage.drivers.s3.driver import S3Driver
from media_service.storage.drivers.s3.location import S3Location
from tests.support.stores.gcs_server import GCS_BUCKET, gcs_server
from tests.support.stores.s3_server import ACCESS, BUCKET, SECRET, s3_server
from tests.support.stores.seaweed_server import seaweed_server
from tests.support.stores.whole_part_driver import WholePartDriver


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


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
async def s3(s3_endpoint: str, s3_keys: None) -> AsyncIterator[S3Driver]:
    driver = S3Driver(bucket_at(s3_endpoint))
    yield driver
    await driver.close()


@pytest.fixture(scope="session")
def seaweed_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweed_server(tmp_path_factory.mktemp("seaweed")) as endpoint:
        yield endpoint


@pytest.fixture
async def seaweed(seaweed_endpoint: str, s3_keys: None) -> AsyncIterator[S3Driver]:
    driver = S3Driver(bucket_at(seaweed_endpoint))
    yield driver
    await driver.close()


@pytest.fixture
def s3_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def bucket_at(endpoint: str) -> S3Location:
    """With a prefix of its own, so that tests do not see each other's objects."""
    prefix = f"tests/{new_id()}/"
    return S3Location(BUCKET, prefix, endpoint=endpoint, region="us-east-1", path_style=True)


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    with gcs_server() as endpoint:
        yield endpoint


@pytest.fixture
async def gcs(gcs_endpoint: str) -> AsyncIterator[GcsDriver]:
    driver = GcsDriver(GCS_BUCKET, f"tests/{new_id()}/", gcs_endpoint)
    yield driver
    await driver.close()


@pytest.fixture(params=["memory", "local", "whole_parts", "s3", "seaweed", "gcs"])
def driver(request: pytest.FixtureRequest) -> Driver:
    made: Driver = request.getfixturevalue(request.param)
    return made


@pytest.fixture
async def after_a_kill(driver: Driver) -> AsyncIterator[Driver]:
    """The same store, as the next process sees it. What is in memory has none."""
    match driver:
        case LocalDriver():
            survivor: Driver = LocalDriver(driver.root)
        case S3Driver():
            survivor = S3Driver(driver.location)
        case GcsDriver():
            survivor = GcsDriver(driver.bucket.name, driver.prefix, driver.bucket.endpoint)
        case _:
            survivor = driver
    yield survivor
    await survivor.close()


@pytest.fixture
async def sibling(driver: Driver) -> AsyncIterator[Driver]:
    """Another store of the same kind, at the same place."""
    match driver:
        case LocalDriver():
            other: Driver = LocalDriver(driver.root.with_name("sibling"))
        case S3Driver():
            other = S3Driver(replace(driver.location, prefix=f"siblings/{new_id()}/"))
        case GcsDriver():
            other = GcsDriver(driver.bucket.name, f"siblings/{new_id()}/", driver.bucket.endpoint)
        case _:
            other = type(driver)()
    yield other
    await other.close()


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
