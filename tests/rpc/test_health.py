"""A process says whether it runs, whether it can serve, and if not, why."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mediaservice.v1 import health_service_pb2, health_service_pb2_grpc, media_pb2

from media_service.errors import Reason, Unavailable
from media_service.rpc import readiness
from media_service.rpc.open_gate import MAX_MESSAGE
from media_service.storage.blob_store import BlobStore
from media_service.storage.drivers.local.driver import LocalDriver
from tests.support.media.small_files import jpeg
from tests.support.ports import free_port
from tests.support.rpc.catalogue import listed, until_done
from tests.support.rpc.server import Caller, Start, refused
from tests.support.silent_database import line_to
from tests.support.tools import eventually_async

Health = health_service_pb2.Health


class Probe:
    """Asks a process for its health."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._standard = health_pb2_grpc.HealthStub(channel)
        self._service = health_service_pb2_grpc.HealthServiceStub(channel)

    async def serving(self, name: str) -> bool:
        answer = await self._standard.Check(health_pb2.HealthCheckRequest(service=name))
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def reasons(self) -> Sequence[str]:
        """Why the server is not ready, after checking that all answers agree."""
        call = self._service.CheckReadiness(health_service_pb2.CheckReadinessRequest())
        answer = await call
        ready = answer.state == Health.SERVING
        assert ready == (not answer.reasons)
        headers = dict(await call.initial_metadata())
        assert headers.get("x-http-status") == (None if ready else "503")
        alive = await self._service.CheckLiveness(health_service_pb2.CheckLivenessRequest())
        assert (alive.state, list(alive.reasons)) == (Health.SERVING, [])
        assert await self.serving("liveness")
        return list(answer.reasons)

    async def becomes(self, *reasons: str) -> None:
        """Waits until the server is not ready for these reasons, or ready if there are none."""

        async def has_become() -> bool:
            if await self.reasons() != list(reasons):
                return False
            names = ("", "readiness", "mediaservice.v1.MediaService")
            states = {await self.serving(name) for name in names}
            return states == {not reasons}

        await eventually_async(has_become)


def probe(caller: Caller) -> Probe:
    return Probe(caller.channel)


async def test_a_server_without_a_database_is_not_ready_but_alive(
    start: Start, database_url: str
) -> None:
    async with line_to(database_url) as (line, url):
        service = await start(database_url=url, database_timeout="2s")
        asked = probe(await service.caller())
        await asked.becomes()
        line.silence()
        await asked.becomes("DATABASE_UNAVAILABLE")
        line.resume()
        await asked.becomes()


class Stores:
    """Opens stores whose checks fail with `error` while `broken` is set."""

    def __init__(self, error: Exception) -> None:
        self.broken = broken = asyncio.Event()

        class Breakable(LocalDriver):
            async def check(self) -> None:
                if broken.is_set():
                    raise error

        self._driver = Breakable

    def open(self, name: str, url: str) -> BlobStore:
        return BlobStore(name, self._driver(Path(url.removeprefix("file://"))))


GONE = Unavailable(Reason.STORAGE_UNAVAILABLE, "The disk is gone.")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(readiness, "OUTAGE_PAUSE_SECONDS", 0.1)


@pytest.mark.parametrize("error", [GONE, RuntimeError("a fault of the driver")])
async def test_a_server_whose_store_fails_is_not_ready(start: Start, error: Exception) -> None:
    stores = Stores(error)
    service = await start(opener=stores.open)
    asked = probe(await service.caller())
    await asked.becomes()
    stores.broken.set()
    await asked.becomes("STORAGE_UNAVAILABLE")
    stores.broken.clear()
    await asked.becomes()


async def test_a_worker_whose_store_fails_claims_no_jobs(start: Start) -> None:
    stores, port = Stores(GONE), free_port()
    service = await start(work=True, opener=stores.open, worker_health_port=str(port))
    ann = await service.caller()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        worker = Probe(channel)
        await eventually_async(lambda: worker.serving("readiness"))
        assert (await refused(worker.serving("a" * MAX_MESSAGE))).reason == "INVALID_REQUEST"
        stores.broken.set()

        async def is_not_ready() -> bool:
            return not await worker.serving("readiness")

        await eventually_async(is_not_ready)
        assert await worker.serving("liveness")
        media = await ann.store(jpeg())
        await asyncio.sleep(0.5)  # time enough to claim a job
        async with service.database() as db:
            rows = await db.execute("select state, attempt from jobs")
            assert await rows.fetchall() == [("QUEUED", 0)]
        stores.broken.clear()
        assert (await until_done(ann, media.media_id)).state == media_pb2.Media.READY


async def test_a_server_waits_for_the_migrations(start: Start, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        row = db.execute(
            "delete from schema_migrations where name ="
            " (select max(name) from schema_migrations) returning name, digest"
        ).fetchone()
        service = await start()
        ann = await service.caller()
        await probe(ann).becomes("SCHEMA_OUTDATED")
        refusal = await refused(listed(ann))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "SCHEMA_OUTDATED",
        )
        db.execute("insert into schema_migrations (name, digest) values (%s, %s)", row)
    await probe(ann).becomes()
    assert await listed(ann) == []
