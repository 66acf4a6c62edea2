"""A store whose disk is unmounted while the service uses it."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.support.crash.client import (
    MIB,
    SMALLER,
    Attempt,
    CrashClient,
    Killed,
    at_once,
    image,
)
from tests.support.crash.deployment import Deployment
from tests.support.crash.invariants import check_media, resume, rows
from tests.support.rpc.server import Refusal, refusal
from tests.support.tools import eventually


class CannotMount(Exception):
    """This user or machine cannot mount a file system."""


class Disk:
    """A folder that is mounted at another one. Mounting requires root, which CI has."""

    def __init__(self, folder: Path) -> None:
        self._source, self.path = folder / "disk", folder / "mount-point"
        for path in (self._source, self.path):
            path.mkdir(parents=True)
        self.mounted = False

    def mount(self) -> None:
        command = ["mount", "--bind", str(self._source), str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotMount(f"a file system cannot be mounted: {done.stderr.strip()}")
        self.mounted = True

    def unmount(self) -> None:
        """At once, although files on it are open."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)
        self.mounted = False


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    disk = Disk(folder)
    disk.mount()
    try:
        yield disk
    finally:
        if disk.mounted:
            disk.unmount()


def refusal_of(call: Callable[[], object]) -> Refusal:
    """The refusal of a call. Fails if the call succeeds."""
    with pytest.raises((grpc.RpcError, Killed)) as caught:
        call()
    error = caught.value
    cause = error.__cause__ if isinstance(error, Killed) else error
    assert isinstance(cause, grpc.RpcError)
    return refusal(cause)


JOB = "select state, attempt, error_reason from jobs where job_id = '{}'"


def vanish(deployment: Deployment, client: CrashClient, disk: Disk) -> list[Attempt]:
    """Unmounts the disk in the middle of uploads and before a job, and mounts it again. Nothing is
    acknowledged meanwhile, nothing is lost, and the job succeeds. Returns the uploads."""
    stored, half, late = (Attempt(image(MIB)) for _ in range(3))
    at_once(client, stored)
    client.create(half)
    client.write(half, 0, MIB // 2)
    disk.unmount()
    for call in (
        lambda: at_once(client, late),
        lambda: client.write(half, MIB // 2, len(half.data)),
        lambda: client.content(stored.media_id),
    ):
        failure = refusal_of(call)
        assert (failure.code, failure.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "STORAGE_UNAVAILABLE",
        )
    job = client.order(stored, SMALLER)
    query = JOB.format(job.job_id)
    eventually(lambda: rows(deployment, query)[0]["attempt"] == 1)
    eventually(lambda: rows(deployment, query)[0]["state"] == "QUEUED")
    assert list(disk.path.iterdir()) == []
    disk.mount()
    check_media(client, stored)
    for attempt in (half, late):
        resume(client, attempt)
    return [stored, half, late]
