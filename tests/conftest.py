"""Fixtures of every test: real PostgreSQL, an empty database each, real stores."""

import asyncio
import gc
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from media_service.cli.malloc_tuning import tune_malloc
from media_service.codecs.sandbox.forks import ForkServer
from media_service.db.database import Database
from media_service.db.embedded_postgres import embedded_postgres
from media_service.db.migrate import migrate
from media_service.storage.blob_store import BlobStore
from media_service.storage.drivers.local.driver import LocalDriver
from tests.support.browser.browser import Browser
from tests.support.browser.chromium import running_browser
from tests.support.clamd import Clamd, running_clamd
from tests.support.databases import (
    HURRIED,
    CleanDatabases,
    administer,
    roomy_memory,
    unique_name,
    with_database,
)
from tests.support.long_form import LONG_FORM
from tests.support.ports import free_port
from tests.support.signals import start_programs_with_default_signals
from tests.support.stores.gcs_server import gcs_server
from tests.support.stores.rabbitmq_server import RabbitmqServer
from tests.support.stores.s3_server import s3_server
from tests.support.stores.valkey_server import ValkeyServer

start_programs_with_default_signals()

# While tests are collected, almost nothing is garbage.
gc.disable()

# Python's default thresholds spend a twelfth of the time of tests on searching for garbage.
GC_THRESHOLD = (50_000, 20, 20)

# As where CI is set: how long an example takes says how busy the machine is.
settings.register_profile(
    "untimed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


CLIENT = Path(__file__).parent / "client"

# The files that take longest, or whose group does, in the order in which they start. One that
# started last would run alone.
LONG = (
    "tests/e2e/test_examples.py",
    "tests/e2e/test_dev.py",
    "tests/e2e/test_rest_uploads.py",
    "tests/conformance/test_rabbitmq_sink.py",
    "tests/codecs/video/test_transcode.py",
    "tests/rpc/test_silent_store.py",
    "tests/rpc/test_streams.py",
    "tests/crash/test_killed_erasures.py",
    "tests/conformance/test_s3_driver.py",
    "tests/crash/test_killed_workers.py",
    "tests/e2e/test_events.py",
    "tests/matrix/test_matrix.py",
    "tests/crash/test_outages.py",
    "tests/crash/test_killed_jobs.py",
    "tests/codecs/video/test_frames.py",
    "tests/rpc/test_any_input.py",
    "tests/crash/test_killed_servers.py",
    "tests/packaging/test_wheels.py",
    "tests/conformance/test_driver.py",
    "tests/crash/test_killed_uploads.py",
    "tests/codecs/audio/test_audio.py",
    "tests/rpc/test_stream_races.py",
    "tests/rpc/test_silent_database.py",
    "tests/rpc/test_admission.py",
    "tests/rpc/test_virus_scans.py",
    "tests/rpc/test_replaceable_parts.py",
    "tests/codecs/audio/test_loudness.py",
    "tests/conformance/test_gcs_driver.py",
    "tests/browser/test_players.py",
    "tests/rpc/test_render.py",
    "tests/reconcile/test_blobs.py",
    "tests/e2e/test_reconcile.py",
    "tests/e2e/test_s3.py",
    "tests/database/test_worker.py",
    "tests/rpc/test_succession.py",
    "tests/rpc/test_privacy.py",
    "tests/rpc/test_parallel_client.py",
    "tests/rpc/test_content_types.py",
    "tests/crash/test_killed_on_s3.py",
    "tests/codecs/test_inspect_bad_av.py",
    "tests/crash/test_rolling_restart.py",
)


# Files that share a service of the session, which takes seconds to start, and a browser.
SHARING = (
    (
        *("dev", "envoy", "limits", "head", "etags", "grpcurl", "rest_links", "rest_public"),
        *("cors", "grpc_web", "http10"),
    ),
    (
        *("examples", "watches", "videos_play", "browser_libraries", "streams_true", "rest_audio"),
        *("rest_parts",),
    ),
    (
        *(
            "rest_uploads",
            "rest_search",
            "rest_catalogue",
            "rest_content",
            "rest_jobs",
            "rest_render",
        ),
        *("readme", "rest_forms", "rest_queries", "bad_input", "any_request"),
    ),
    ("s3", "s3_parts"),
)
GROUPS = {f"tests/e2e/test_{name}.py": f"e2e/{names[0]}" for names in SHARING for name in names}
# Files that share a broker, which takes seconds to start.
GROUPS |= dict.fromkeys(
    (
        *("tests/database/test_rabbitmq_looks.py", "tests/rpc/test_rabbitmq_transport.py"),
        *("tests/conformance/test_rabbitmq_sink.py", "tests/e2e/test_foreign_workers.py"),
        *("tests/rpc/test_foreign_workers.py", "tests/crash/test_killed_sinks.py"),
    ),
    "rabbitmq",
)


class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """One worker runs all tests of a file, or of the files in a group of `SHARING`."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return GROUPS.get(file, file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not LONG_FORM:
        long = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in set(long)]
    ranks = {name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(LONG)))


def pytest_collection_finish(session: pytest.Session) -> None:
    # As where the service runs, which takes less time. Clients run on Python's loop.
    if not any(item.path.is_relative_to(CLIENT) for item in session.items):
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        tune_malloc()
    # Tests and modules stay until the end. Searching them for garbage again and again takes time.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    gc.enable()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of one PostgreSQL for the whole run: MEDIA_TEST_DATABASE_URL, or an embedded one."""
    if url := os.environ.get("MEDIA_TEST_DATABASE_URL"):
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="media-test-", dir=roomy_memory()) as folder,
        embedded_postgres(Path(folder) / "postgres", HURRIED) as url,
    ):
        yield url


@pytest.fixture(scope="session")
async def template(postgres: str) -> AsyncIterator[str]:
    """Name of a migrated database without rows, to clone."""
    name = unique_name("template")
    administer(postgres, f"create database {name}")
    await migrate(with_database(postgres, name))
    yield name
    administer(postgres, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def databases(postgres: str, template: str) -> Iterator[CleanDatabases]:
    """Migrated databases, which have no rows when a test takes one."""
    with CleanDatabases(postgres, template) as databases:
        yield databases


@pytest.fixture
def database_url(databases: CleanDatabases) -> Iterator[str]:
    """URL of a migrated database without rows, which only this test uses."""
    with databases.take() as url:
        yield url


@pytest.fixture(scope="session")
async def fork_server() -> AsyncIterator[ForkServer]:
    """The fork server of all child processes that open media."""
    async with ForkServer() as fork_server:
        yield fork_server


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, 4) as database:
        yield database


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[BlobStore]:
    driver = LocalDriver(tmp_path / "raw")
    yield BlobStore("raw", driver)
    await driver.close()


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server of all tests, each of which uses keys with a prefix of its own."""
    with s3_server(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    """A Cloud Storage server of all tests, each of which uses a prefix of its own."""
    with gcs_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def clamd() -> Iterator[Clamd]:
    """A virus scanner that knows only the EICAR test file."""
    with running_clamd() as clamd:
        yield clamd


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A server of rates of all tests, each of which uses keys of its own."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitmqServer]:
    """A broker of all tests, one of which uses it at a time."""
    with RabbitmqServer() as server:
        yield server


@pytest.fixture(scope="session")
def browser_origin() -> str:
    """The origin of the page with the players, for MEDIA_CORS_ORIGINS."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
async def browser(browser_origin: str) -> AsyncIterator[Browser]:
    """One Chromium for the whole run; each test gets a page that shares nothing with others."""
    async with running_browser(browser_origin) as browser:
        yield browser
