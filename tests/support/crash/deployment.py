"""One database and one store, with processes that start and stop on them."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from media_service import app
from media_service.config import load
from media_service.db.notifications import JobRunnable, channel, encode
from media_service.ids import new_id
from tests.support.crash.client import Attempt, CrashClient
from tests.support.crash.service_process import ServiceProcess, start_process
from tests.support.databases import answers, with_database
from tests.support.ports import free_port
from tests.support.renditions import give
from tests.support.rpc.server import SECRET as JWT_SECRET
from tests.support.service import STOP_SECONDS
from tests.support.stores.gcs_server import GCS_BUCKET
from tests.support.stores.s3_server import ACCESS, BUCKET, SECRET
from tests.support.tools import eventually

COMMAND_SECONDS = 120


@dataclass
class Running:
    """A server or a worker. `failpoint` is where it is to be killed."""

    role: str
    failpoint: str
    process: ServiceProcess
    log: Path
    address: str = ""

    def ready(self) -> Self:
        """Waits until the process is ready, or was killed at once, and returns it."""
        eventually(lambda: "er ready\n" in self.log.read_text() or self.dead, STOP_SECONDS)
        return self

    @property
    def died_there(self) -> bool:
        """Whether it killed itself at its failpoint."""
        name = self.failpoint.partition("@")[0]
        return bool(name) and self.log.read_text().endswith(f"killed at {name}\n")

    def await_death(self) -> None:
        """Waits until the process is dead, and requires that it killed itself at its failpoint."""
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()  # otherwise it would do the work meant for the next process
            pytest.fail(f"{self.role} did not reach {self.failpoint}: {self.log.read_text()}")
        assert status == -signal.SIGKILL, f"{self.role} ended with {status}: {self.log.read_text()}"
        assert self.died_there

    @property
    def dead(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(STOP_SECONDS) == 0, self.log.read_text()


RUNNING = "select from jobs where state = 'RUNNING' and lease_until > now()"
OPEN = "select from jobs where state in ('QUEUED', 'RUNNING')"


def pass_time(db: psycopg.Connection[Any], span: str) -> None:
    """Advances the time of jobs and leases."""
    db.execute(
        "update jobs set run_time = run_time - %(span)s::interval,"
        " lease_until = lease_until - %(span)s::interval"
        " where job_id in ("
        # Skip jobs that are locked by a running process.
        "select job_id from jobs where state in ('QUEUED', 'RUNNING')"
        " for update skip locked)",
        {"span": span},
    )
    db.execute("update idempotency_keys set lease_until = lease_until - %s::interval", (span,))
    event = JobRunnable()
    db.execute("select pg_notify(%s, %s)", (channel(type(event)), encode(event)))


class Deployment:
    """`settings` apply to every process, in addition to database and folder."""

    def __init__(self, folder: Path, database_url: str, settings: Mapping[str, str]) -> None:
        self.database_url = database_url
        self._folder = folder
        self._processes: list[Running] = []
        self._db: psycopg.Connection[Any] | None = None
        own = {name: value for name, value in os.environ.items() if not name.startswith("MEDIA_")}
        temporary = folder / "tmp"
        temporary.mkdir()
        self.environ = {
            **own,
            # Otherwise each worker would look at what killed ones left in all tests.
            "TMPDIR": str(temporary),
            "MEDIA_DATA_DIR": str(folder / "data"),
            "MEDIA_DATABASE_URL": database_url,
            "MEDIA_DATABASE_POOL_SIZE": "6",
            "MEDIA_JWT_SECRET": JWT_SECRET,
            "MEDIA_SANDBOX": "degraded",  # for machines without Landlock
            "MEDIA_VIDEO_PRESETS": "-",
            "MEDIA_DRAIN_SECONDS": "0",
            **settings,
        }

    @property
    def db(self) -> psycopg.Connection[Any]:
        """A connection to the database. It is replaced if PostgreSQL ended it."""
        if self._db is None or not answers(self._db):
            self._db = psycopg.connect(self.database_url, autocommit=True)
        return self._db

    def run(self, *command: str) -> str:
        """The output of a command, which must succeed."""
        log, output = (self._folder / f"command.{name}" for name in ("log", "output"))
        output.write_bytes(b"")
        status = start_process(command, self.environ, log, output).wait(COMMAND_SECONDS)
        assert status == 0, output.read_text() + log.read_text()
        return output.read_text()

    def start(self, role: str, failpoint: str = "") -> Running:
        """Starts `serve` or `work`, and waits until it is ready."""
        return self.launch(role, failpoint).ready()

    def launch(self, role: str, failpoint: str = "", port: int = 0) -> Running:
        port = port or free_port()
        log = self._folder / f"{role}-{len(self._processes)}.log"
        environ = {**self.environ, "MEDIA_GRPC_PORT": str(port)}
        if failpoint:
            environ["MEDIA_FAILPOINT"] = failpoint
        process = start_process([role], environ, log)
        running = Running(role, failpoint, process, log, f"127.0.0.1:{port}")
        self._processes.append(running)
        return running

    def pass_time(self, span: str) -> None:
        """Advances the time of jobs and leases, so that jobs become due and dead leases end."""
        pass_time(self.db, span)

    def await_idle(self) -> None:
        """Passes time until no job is left."""

        def idle() -> bool:
            if self.db.execute(RUNNING).rowcount:
                return False
            pass_time(self.db, "10 minutes")
            return self.db.execute(OPEN).rowcount == 0

        eventually(idle, 120)

    def keep_leases(self) -> None:
        """Extends the leases of dead workers by a day. Otherwise, on a slow machine, other workers
        could claim those jobs and die of them until the jobs fail."""
        self.db.execute(
            "update jobs set lease_until = now() + interval '1 day' where state = 'RUNNING'"
        )

    def put_off_parts(self) -> None:
        """Delays the parts of jobs whose workers died by the same time."""
        self.db.execute(
            "update jobs set run_time = now() + interval '1 day', ready = false"
            " where state = 'QUEUED' and parent_id is not null"
        )

    def end_lease(self, job_id: str, part: int) -> None:
        """Ends the lease of one part of a job, as if its worker had died long ago."""
        self.db.execute(
            "update jobs set lease_until = now() where parent_id = %s and subjob_number = %s",
            (job_id, part),
        )

    def expire(self, *attempts: Attempt) -> None:
        """Makes the expiry of these sessions, the purge of their media, or that of unused renders
        due. A worker sees this when it starts."""
        uploads = [attempt.upload_id for attempt in attempts if attempt.upload_id]
        media = [attempt.media_id for attempt in attempts if attempt.media_id]
        self.db.execute(
            "update uploads set expire_time = 'epoch'"
            " where upload_id = any(%s::uuid[]) and state = 'ACTIVE'",
            (uploads,),
        )
        self.db.execute(
            "update media set purge_time = 'epoch'"
            " where media_id = any(%s::uuid[]) and delete_time is not null",
            (media,),
        )
        self.db.execute(
            "update renders set use_time = 'epoch' where media_id = any(%s::uuid[])",
            (media,),
        )

    def await_render(self, media_id: str) -> None:
        """Waits until a render of this media is stored."""
        query = "select from renders where media_id = %s"
        eventually(lambda: self.db.execute(query, (media_id,)).rowcount == 1)

    def client(self, server: Running) -> CrashClient:
        return CrashClient(server.address, self._give)

    def _give(self, media_id: str, name: str, data: bytes) -> None:
        """Adds a rendition like a job."""
        asyncio.run(give(self.environ, media_id, name, data))

    def wear_out(self, media_id: str) -> None:
        """Sets the attempts as if ten workers had died while moving the media's renditions."""
        self.db.execute(
            "update jobs set attempt = 10, lost_leases = 10"
            " where subject_id = %s and kind = 'PUBLISH' and state = 'QUEUED'",
            (media_id,),
        )

    def scan_states(self) -> list[str]:
        """How the virus scans of all media ended."""
        return [state for (state,) in self.db.execute("select scan_state from media_versions")]

    def in_public(self) -> set[str]:
        """The keys of all blobs in the public store."""
        return asyncio.run(self._in_public())

    async def _in_public(self) -> set[str]:
        async with app.base(load(self.environ)) as parts:
            return {found.key async for found in parts.public.driver.list("")}

    def add_quota(self) -> None:
        """So that whatever happens is charged. The invariants compare it with uploads and media."""
        self.db.execute(QUOTA)

    def close(self) -> None:
        for running in self._processes:
            if not running.dead:
                running.kill()
        if self._db is not None:
            self._db.close()


QUOTA = """
    insert into quotas (account, measure, hard_limit) values
        ('owner:/user:ann', 'BYTES', 1000000000000), ('owner:/user:ann', 'MEDIA', 1000000),
        ('owner:/user:ann', 'FILE_BYTES', 1000000000),
        ('owner:/user:ann', 'RENDITION_BYTES', 1000000000000),
        ('owner:/user:ann', 'CACHE_BYTES', 1000000000000),
        ('owner:/user:ann', 'PROCESSING_SECONDS', 1000000000)
"""


@contextmanager
def new_deployment(url: str, template: str | None, **settings: str) -> Iterator[Deployment]:
    """A deployment with a new database on the PostgreSQL at `url`. The rest is in one folder.
    Without a template, the deployment migrates its database."""
    name = f"crash_{new_id().replace('-', '')}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template or 'template1'}".encode())
    with (
        tempfile.TemporaryDirectory(prefix="media-crash-") as folder,
        pytest.MonkeyPatch.context() as environ,
    ):
        for key in settings.keys() & {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}:
            environ.setenv(
                key, settings[key]
            )  # the function that adds renditions runs in this process
        raw = {"MEDIA_STORAGE_RAW_URL": (Path(folder) / "raw").as_uri()}
        deployment = Deployment(Path(folder), with_database(url, name), {**raw, **settings})
        if template is None:
            deployment.run("migrate")
        deployment.add_quota()
        try:
            yield deployment
        finally:
            deployment.close()
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"drop database {name} with (force)".encode())


def on_s3_at(endpoint: str) -> dict[str, str]:
    """The settings of a service on the S3 test server."""
    options = f"endpoint={endpoint}&region=us-east-1&path_style=true"
    return {
        "MEDIA_STORAGE_RAW_URL": f"s3://{BUCKET}/a?{options}",
        "MEDIA_STORAGE_PUBLIC_URL": f"s3://{BUCKET}/b?{options}",
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


def on_gcs_at(endpoint: str) -> dict[str, str]:
    """The settings of a service on the Cloud Storage test server."""
    return {
        "MEDIA_STORAGE_RAW_URL": f"gs://{GCS_BUCKET}/a?endpoint={endpoint}",
        "MEDIA_STORAGE_PUBLIC_URL": f"gs://{GCS_BUCKET}/b?endpoint={endpoint}",
    }
