"""Fixtures: a real server in this process, and real clients on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path

import pytest

from media_service import app
from media_service.codecs.sandbox.forks import ForkServer
from media_service.config import load
from media_service.downloads import waiting
from media_service.ids import new_id
from media_service.storage.blob_store import open_store
from tests.support.databases import CleanDatabases
from tests.support.rpc.front import Open, opener
from tests.support.rpc.server import (
    NO_PRESETS,
    SECRET,
    Caller,
    Running,
    Start,
)
from tests.support.stores.gcs_server import GcsFolder
from tests.support.stores.s3_server import ACCESS, BUCKET
from tests.support.stores.s3_server import SECRET as S3_SECRET


@asynccontextmanager
async def starter(database_url: str, folder: Path, fork_server: ForkServer) -> AsyncIterator[Start]:
    """Starts servers on a database and a directory, with the given settings, which run for the
    context. `opener` opens their stores."""
    forks = nullcontext(fork_server)
    async with AsyncExitStack() as stack:

        async def start_one(
            *, work: bool = False, opener: app.Opener = open_store, **settings: str
        ) -> Running:
            environ = {
                "MEDIA_DATA_DIR": str(folder),
                "MEDIA_DATABASE_URL": database_url,
                "MEDIA_DATABASE_POOL_SIZE": "8",
                "MEDIA_JWT_SECRET": SECRET,
                **NO_PRESETS,
                **{f"MEDIA_{name.upper()}": value for name, value in settings.items()},
            }
            config = load(environ)
            rpc = await stack.enter_async_context(app.server(config, 0, opener, forks))
            if work:
                ready = asyncio.Event()
                worker = asyncio.create_task(app.work(config, ready.set, opener, forks))
                stack.push_async_callback(stop, worker)
                await ready.wait()
            channels = await stack.enter_async_context(AsyncExitStack())
            return Running(f"127.0.0.1:{rpc.port}", folder, database_url, channels, environ)

        yield start_one


@pytest.fixture
async def start(database_url: str, tmp_path: Path, fork_server: ForkServer) -> AsyncIterator[Start]:
    """Starts servers on the test's own database and directory."""
    async with starter(database_url, tmp_path, fork_server) as start:
        yield start


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


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
def front(start: Start, tmp_path: Path) -> Open:
    """Starts a server behind an Envoy of its own, with the given settings."""
    return opener(start, tmp_path)


@pytest.fixture
async def service(start: Start) -> Running:
    """A server without a worker."""
    return await start()


@pytest.fixture
async def working(start: Start) -> Running:
    """A server with a worker."""
    return await start(work=True)


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
