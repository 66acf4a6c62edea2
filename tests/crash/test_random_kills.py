"""Killed at any moment, an upload is finished, can be resumed, or never was; nothing in between."""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Self

import httpx

from media_service.client import Client, MediaServiceError
from media_service.client.retry import Backoff
from media_service.types import new_id
from tests.crash.conftest import Machine
from tests.e2e.conftest import Service
from tests.e2e.rest import client_of, content, patch, refusal, resume
from tests.media_files import film
from tests.tools import eventually

MIB = 1 << 20
VICTIMS = ("serve", "serve", "everything", "serve", "dev")
NO_RETRY = Backoff(attempts=1)
# As many have to be stored before the blow; it falls a random moment later.
WARM = 5


@dataclass
class Attempt:
    """An upload, and whether the service said that it is stored."""

    upload_id: str
    data: bytes
    acknowledged: bool = False


class Storm:
    """Callers who upload until nobody answers, over REST and gRPC, in sessions and in one go.

    However it ends, they stop; one that went on would fill the disk and the memory.
    """

    def __init__(self, service: Service) -> None:
        self.attempts: list[Attempt] = []
        self._service = service
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(how,))
            for how in (self._over_rest, self._over_grpc)
            for _ in range(2)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def stored(self) -> int:
        return sum(attempt.acknowledged for attempt in self.attempts)

    def _run(self, work: Callable[[], None]) -> None:
        with suppress(httpx.HTTPError, MediaServiceError):
            work()

    def _next(self) -> Attempt:
        attempt = Attempt(new_id(), film(random.randrange(1000, 2 * MIB)))  # noqa: S311
        self.attempts.append(attempt)
        return attempt

    def _over_rest(self) -> None:
        with client_of(self._service, "alice") as client:
            while not self._over.is_set():
                attempt = self._next()
                spec = {"uploadId": attempt.upload_id}
                client.post("/v1/uploads", json=spec).raise_for_status()
                half = len(attempt.data) // 2
                for start, end in ((0, half), (half, len(attempt.data))):
                    complete = end == len(attempt.data)
                    piece = attempt.data[start:end]
                    answer = patch(client, attempt.upload_id, start, piece, complete=complete)
                    answer.raise_for_status()
                attempt.acknowledged = True

    def _over_grpc(self) -> None:
        token = self._service.token("alice")
        with Client(self._service.grpc_address, token=token, backoff=NO_RETRY) as client:
            while not self._over.is_set():
                attempt = self._next()
                client.upload(attempt.data, upload_id=attempt.upload_id)
                attempt.acknowledged = True


def judge(client: httpx.Client, attempt: Attempt) -> str:
    """The state of an upload after the restart, which must be one that can be."""
    answer = client.get(f"/v1/uploads/{attempt.upload_id}")
    state = "NONE" if answer.status_code == 404 else str(answer.json()["state"])
    if state == "FINISHED":
        return state
    assert not attempt.acknowledged, f"an acknowledged upload is {state}"
    assert refusal(client.get(f"/v1/media/{attempt.upload_id}")) == (404, "MEDIA_NOT_FOUND")
    assert state in {"NONE", "ACTIVE", "VERIFYING"}
    return state


def storm_and_strike(machine: Machine, victim: str) -> list[Attempt]:
    """What was tried until the blow."""
    storm = Storm(machine.service)
    with storm:
        eventually(lambda: storm.stored() >= WARM)
        threading.Event().wait(random.uniform(0, 0.2))  # noqa: S311
        machine.strike(victim)
    machine.restart()
    return storm.attempts


def test_whenever_it_is_killed_every_upload_is_whole_or_resumable_or_never_was(
    machine: Machine,
) -> None:
    begun: list[Attempt] = []
    with client_of(machine.service, "alice") as alice:
        for victim in VICTIMS:
            for attempt in storm_and_strike(machine, victim):
                state = judge(alice, attempt)
                if state != "NONE":
                    begun.append(attempt)
                if state == "ACTIVE":
                    answer = resume(alice, attempt.upload_id, attempt.data)
                    assert answer.json()["state"] == "FINISHED"
        # A worker takes over from who died while checking an upload, after a minute.
        machine.pass_time("1 minute")
        for attempt in begun:
            eventually(partial(is_finished, alice, attempt))
            assert content(alice, attempt.upload_id) == attempt.data


def is_finished(client: httpx.Client, attempt: Attempt) -> bool:
    return judge(client, attempt) == "FINISHED"
