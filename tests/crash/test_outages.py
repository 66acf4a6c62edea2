"""Uploads survive outages: of the connection, PostgreSQL, the clock, the store and disk space."""

import asyncio
import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import grpc
import pytest
from mediaservice.v1 import media_pb2

from media_service_client import Client
from media_service_client.retry import Backoff
from tests.support.crash.client import (
    MIB,
    PART,
    Attempt,
    CrashClient,
    at_once,
    image,
    in_a_session,
)
from tests.support.crash.deployment import Deployment, Running, new_deployment, on_s3_at
from tests.support.crash.held_line import Line, held_line
from tests.support.crash.invariants import check_upload, resume, settle
from tests.support.crash.own_postgres import OwnPostgres
from tests.support.crash.vanishing_store import refusal_of
from tests.support.rpc.server import token
from tests.support.stores.faulty_network import Network, network_before
from tests.support.stores.s3_server import s3_server
from tests.support.tools import eventually, in_ci, require_tool


@contextmanager
def sending(address: str, attempt: Attempt) -> Iterator["Future[None]"]:
    """Uploads with our client in a separate thread, with generous retries."""

    def send() -> None:
        patient = Backoff(attempts=12)
        with Client(address, token=token("ann"), backoff=patient) as client:
            client.upload(attempt.data, filename=attempt.name, request_id=attempt.key)
        attempt.finished = True

    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(send)


def has_acknowledged_bytes(client: CrashClient, attempt: Attempt) -> bool:
    """Whether some bytes of the upload are acknowledged."""
    upload = client.upload(attempt)
    if upload is not None:
        attempt.acknowledge(upload)
    return attempt.committed > 0


class Clock:
    """The wall clock that processes see, which tests can set. Monotonic clocks are unaffected.

    At the turn of a month, it is 90 minutes behind: a jump of half an hour must not change the
    month, with which quotas begin again."""

    def __init__(self, folder: Path) -> None:
        time = datetime.now(UTC)
        turns = (time - timedelta(minutes=30)).month != (time + timedelta(hours=1)).month
        self._behind = 90 if turns else 0
        program = require_tool("faketime")
        command = [program, "-m", "-f", "+0", "printenv", "LD_PRELOAD"]
        library = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        self._file = folder / "clock"
        self.environ = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        folder.chmod(0o755)  # PostgreSQL runs as another user
        self.set(0)

    def set(self, minutes: int) -> None:
        """Sets the clock ahead by these minutes, or back."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{minutes - self._behind:+d}m\n")
        fresh.chmod(0o644)
        fresh.rename(self._file)


@dataclass
class Machine:
    """A service with its own PostgreSQL. Both use the same faked clock."""

    clock: Clock
    postgres: OwnPostgres
    deployment: Deployment
    attempts: list[Attempt] = field(default_factory=list)

    def new(self, size: int) -> Attempt:
        self.attempts.append(Attempt(image(size)))
        return self.attempts[-1]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="media-test-") as folder:
        clock = Clock(Path(folder))
        postgres = OwnPostgres(Path(folder) / "postgres", clock.environ)
        try:
            with new_deployment(postgres.url, None, **clock.environ) as deployment:
                yield Machine(clock, postgres, deployment)
        finally:
            postgres.close()


@pytest.fixture(scope="module")
def server(machine: Machine) -> Running:
    return machine.deployment.start("serve")


@pytest.fixture(scope="module")
def worker(machine: Machine) -> Running:
    return machine.deployment.start("work")


def upload_while(
    machine: Machine, server: Running, attempt: Attempt, happens: Callable[[Line], None]
) -> None:
    """Calls `happens` in the middle of an upload, which must continue by itself."""
    with (
        machine.deployment.client(server) as client,
        held_line(server.address, 4 * MIB) as line,
    ):
        with sending(line.address, attempt) as sent:
            eventually(lambda: has_acknowledged_bytes(client, attempt))
            happens(line)
            line.release()
            sent.result(60)
        assert check_upload(client, attempt) == "FINISHED"


def test_an_upload_continues_after_its_connection_is_cut(machine: Machine, server: Running) -> None:
    upload_while(machine, server, machine.new(8 * MIB), lambda line: line.cut())


def test_an_upload_continues_after_postgresql_restarts(machine: Machine, server: Running) -> None:
    upload_while(machine, server, machine.new(8 * MIB), lambda _: machine.postgres.restart())


def test_uploads_continue_when_the_clock_jumps_back_and_forth(
    machine: Machine, server: Running, worker: Running
) -> None:
    resting = machine.new(MIB)
    with machine.deployment.client(server) as client:
        client.create(resting)
        for minutes in (-30, 30, 0):
            client.write(resting, resting.committed, resting.committed + MIB // 4)
            attempt = machine.new(6 * MIB)
            upload_while(machine, server, attempt, partial(set_clock, machine, minutes))
            # A worker finds the job as well.
            eventually(partial(is_ready, client, attempt))


def set_clock(machine: Machine, minutes: int, _: Line) -> None:
    machine.clock.set(minutes)


def is_ready(client: CrashClient, attempt: Attempt) -> bool:
    media = client.media(attempt)
    return media is not None and media.state == media_pb2.Media.READY


def test_all_uploads_and_jobs_complete_after_the_outages(
    machine: Machine, server: Running, worker: Running
) -> None:
    server.stop()
    worker.stop()
    settle(machine.deployment, machine.attempts)


async def test_an_upload_survives_transient_and_lasting_store_failures(
    postgres: str, template: str, tmp_path: Path
) -> None:
    attempt, later = Attempt(image(3 * PART)), Attempt(image(2 * PART))
    with s3_server(tmp_path / "s3") as endpoint:
        async with network_before(endpoint) as network:
            with new_deployment(postgres, template, **on_s3_at(network.url)) as deployment:
                await asyncio.to_thread(upload_to_a_bad_store, deployment, network, attempt, later)


def upload_to_a_bad_store(
    deployment: Deployment, network: Network, attempt: Attempt, later: Attempt
) -> None:
    server = deployment.start("serve")
    with deployment.client(server) as client:
        faults: Iterator[int | str | None] = itertools.cycle(
            [None, None, 500, None, 503, None, "lost"]
        )
        network.fault = lambda request, body: next(faults)
        in_a_session(client, attempt)
        assert check_upload(client, attempt) == "FINISHED"
        network.fault = lambda request, body: None
        client.create(later)
        client.write(later, 0, PART)
        network.fault = lambda request, body: 503
        failure = refusal_of(lambda: client.write(later, PART, 2 * PART))
        assert (failure.code, failure.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "STORAGE_UNAVAILABLE",
        )
        network.fault = lambda request, body: None
        assert check_upload(client, later) == "ACTIVE"
        resume(client, later)
        assert check_upload(client, later) == "FINISHED"
    server.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB. Mounting it requires root, which CI has."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "media-test", str(folder)]
    if subprocess.run(command, check=False).returncode:
        (pytest.fail if in_ci() else pytest.skip)("a file system cannot be mounted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def leave(disk: Path, free: int) -> Path:
    """Creates a file that leaves this many bytes free."""
    filler = disk / "filler"
    there = filler.stat().st_size if filler.exists() else 0
    space = os.statvfs(disk)
    filler.write_bytes(bytes(there + space.f_bavail * space.f_frsize - free))
    return filler


def test_a_full_disk_is_reported_and_nothing_is_lost(
    postgres: str, template: str, small_disk: Path
) -> None:
    whole, half, joined = Attempt(image(MIB)), Attempt(image(4 * MIB)), Attempt(image(MIB))
    with new_deployment(
        postgres, template, MEDIA_STORAGE_RAW_URL=small_disk.as_uri()
    ) as deployment:
        server = deployment.start("serve")
        with deployment.client(server) as client:
            for attempt in (half, joined):
                client.create(attempt)
                client.write(attempt, 0, MIB // 2)
            # Enough for the rest of a file, but not for joining it.
            filler = leave(small_disk, 3 * MIB // 4)
            requests: list[Callable[[], None]] = [
                lambda: at_once(client, whole),
                lambda: client.write(half, MIB // 2, 4 * MIB),
                lambda: client.write(joined, MIB // 2, len(joined.data)),
            ]
            for request in requests:
                failure = refusal_of(request)
                assert (failure.code, failure.reason, failure.headers["x-http-status"]) == (
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "STORAGE_FULL",
                    "507",
                )
            states = [check_upload(client, attempt) for attempt in (whole, half, joined)]
            assert states == ["NONE", "ACTIVE", "VERIFYING"]
            filler.unlink()
        server.stop()
        settle(deployment, [whole, half, joined])
