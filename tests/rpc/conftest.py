"""Fixtures: a real server in this process, and real clients on loopback."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from media_service.codecs.sandbox.forks import ForkServer
from media_service.downloads import waiting
from media_service.ids import new_id
from tests.support.databases import CleanDatabases
from tests.support.rpc.front import Open, opener
from tests.support.rpc.place import Place, SharedServices, place_of_test
from tests.support.rpc.server import Caller, Running, Start
from tests.support.rpc.starter import starter
from tests.support.stores.gcs_server import GcsFolder
from tests.support.stores.s3_server import ACCESS, BUCKET
from tests.support.stores.s3_server import SECRET as S3_SECRET


@pytest.fixture(scope="module")
async def shared_services(
    databases: CleanDatabases, tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer
) -> AsyncIterator[SharedServices]:
    new_folder = partial(tmp_path_factory.mktemp, "shared")
    async with SharedServices(databases, new_folder, fork_server) as services:
        yield services


@pytest.fixture
async def place(shared_services: SharedServices, tmp_path: Path) -> AsyncIterator[Place]:
    async with place_of_test(shared_services, tmp_path) as place:
        yield place


@pytest.fixture
def database_url(place: Place) -> str:
    """URL of the database of the test."""
    return place.database_url


@pytest.fixture
def alone(database_url: str) -> None:
    """The test shares no server, because it depends on what its server remembers."""


@pytest.fixture
def start(place: Place) -> Start:
    """Starts servers on the database and the directory of the test."""
    return place.start


@pytest.fixture
def lend(place: Place) -> Start:
    """Servers with certain settings that the tests of a file share. See `Place.lend`."""
    return place.lend


@pytest.fixture(scope="module")
async def shared_service(
    databases: CleanDatabases, tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer
) -> AsyncIterator[Running]:
    """One server without a worker for all tests of a file, for tests that do not mind what the
    others have stored."""
    folder = tmp_path_factory.mktemp("shared")
    with databases.take() as url:
        async with starter(url, folder, fork_server) as start:
            yield await start()


@pytest.fixture
def front(start: Start, tmp_path: Path) -> Open:
    """Starts a server behind an Envoy of its own, with the given settings."""
    return opener(start, tmp_path)


@pytest.fixture
async def service(place: Place) -> Running:
    """A server without a worker."""
    return await place.lend()


@pytest.fixture
async def working(place: Place) -> Running:
    """A server with a worker."""
    return await place.lend(work=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests do not wait for what is still being inspected or rendered."""
    monkeypatch.setattr(waiting, "WAIT_SECONDS", 0.0)


@pytest.fixture
async def ann(service: Running) -> Caller:
    return await service.caller("ann")


@pytest.fixture
async def bob(service: Running) -> Caller:
    return await service.caller("bob")


# The same on S3.


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place on S3 that only this test uses."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
    at = f"endpoint={s3_endpoint}&region=us-east-1&path_style=true"
    return f"s3://{BUCKET}/{new_id()}?{at}"


@pytest.fixture
async def s3_service(start: Start, s3_url: str) -> Running:
    """A server with a worker."""
    return await start(work=True, storage_raw_url=s3_url)


@pytest.fixture
async def on_s3(s3_service: Running) -> Caller:
    return await s3_service.caller("ann")


# The same on Cloud Storage.


@pytest.fixture
def gcs(gcs_endpoint: str) -> GcsFolder:
    return GcsFolder(gcs_endpoint, new_id())


@pytest.fixture
async def on_gcs(start: Start, gcs: GcsFolder) -> Caller:
    service = await start(storage_raw_url=gcs.url)
    return await service.caller("ann")
