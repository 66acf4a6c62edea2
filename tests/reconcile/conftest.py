"""Fixtures: the parts of a service on every kind of store, and the findings of a reconciler."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media_service.db.database import Database
from media_service.ids import new_id
from media_service.storage.blob_store import BlobStore
from media_service.storage.driver import Driver
from media_service.storage.drivers.gcs.driver import GcsDriver
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.storage.drivers.memory import MemoryDriver
from media_service.storage.drivers.s3.driver import S3Driver
from media_service.storage.drivers.s3.location import S3Location
from tests.support.killable_renditions import RenditionHarness
from tests.support.reconciling import Service
from tests.support.stores.gcs_server import GCS_BUCKET
from tests.support.stores.s3_server import ACCESS, BUCKET, SECRET


@pytest.fixture(params=["memory", "local", "s3", "gcs"])
async def driver(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Driver]:
    driver: Driver
    match request.param:
        case "memory":
            driver = MemoryDriver()
        case "local":
            driver = LocalDriver(tmp_path / "raw")
        case "s3":
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
            endpoint = request.getfixturevalue("s3_endpoint")
            region = "us-east-1"
            driver = S3Driver(
                S3Location(
                    BUCKET, f"{new_id()}/", endpoint=endpoint, region=region, path_style=True
                )
            )
        case _:
            endpoint = request.getfixturevalue("gcs_endpoint")
            driver = GcsDriver(GCS_BUCKET, f"{new_id()}/", endpoint)
    yield driver
    await driver.close()


@pytest.fixture
async def service(database: Database, driver: Driver) -> AsyncIterator[Service]:
    service = Service(database, BlobStore("raw", driver))
    yield service
    await service.runner.close()


@pytest.fixture
async def on_disk(database: Database, store: BlobStore) -> AsyncIterator[Service]:
    """A service on a local disk, for behavior that does not depend on the store."""
    service = Service(database, store)
    yield service
    await service.runner.close()


@pytest.fixture
def harness(database: Database) -> RenditionHarness:
    return RenditionHarness(database)
