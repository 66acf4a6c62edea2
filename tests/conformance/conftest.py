"""Fixtures for every storage driver, each on its own empty store."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from media_service.ids import new_id
from media_service.storage.conformance import OpenDriver
from media_service.storage.conformance.fixtures import new_key
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
    """The test bucket with a new prefix, so that tests do not see each other's objects."""
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


@pytest.fixture
def open_memory() -> OpenDriver:
    return cache(lambda name: MemoryDriver())


@pytest.fixture
def open_local(tmp_path: Path) -> OpenDriver:
    return lambda name: LocalDriver(tmp_path / name)


@pytest.fixture
def open_whole_parts() -> OpenDriver:
    return cache(lambda name: WholePartDriver())


@pytest.fixture
def open_s3(s3_endpoint: str, s3_keys: None) -> OpenDriver:
    return buckets_at(s3_endpoint)


@pytest.fixture
def open_seaweed(seaweed_endpoint: str, s3_keys: None) -> OpenDriver:
    return buckets_at(seaweed_endpoint)


def buckets_at(endpoint: str) -> OpenDriver:
    location = bucket_at(endpoint)
    return lambda name: S3Driver(replace(location, prefix=f"{location.prefix}{name}/"))


@pytest.fixture
def open_gcs(gcs_endpoint: str) -> OpenDriver:
    prefix = f"tests/{new_id()}"
    return lambda name: GcsDriver(GCS_BUCKET, f"{prefix}/{name}/", gcs_endpoint)


DRIVERS = ["memory", "local", "whole_parts", "s3", "gcs"]
# A second S3 server. `TestSeaweed` tests without `make soak` what may differ between S3 servers.
SEAWEED = pytest.param("seaweed", marks=pytest.mark.soak)


@pytest.fixture(params=[*DRIVERS, SEAWEED])
def open_driver(request: pytest.FixtureRequest) -> OpenDriver:
    opened: OpenDriver = request.getfixturevalue(f"open_{request.param}")
    return opened


@pytest.fixture
async def driver(open_driver: OpenDriver) -> AsyncIterator[Driver]:
    driver = open_driver("store")
    yield driver
    await driver.close()


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def fresh_key() -> Callable[[], str]:
    """Creates keys, for tests that run many examples on one driver."""
    return new_key
