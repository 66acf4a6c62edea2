"""`python -m tests.crash.soak --kills 500`: kills servers and workers at random failpoints while
several clients use them, on a folder, S3 and Cloud Storage. Checks the invariants and writes the
results of a full soak into the docs.

A soak consists of chapters: a fresh service, a few dozen kills, then all uploads and jobs complete.
"""

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from click import echo

from media_service.failpoints import REGISTRY
from tests.support.crash import client as scenarios
from tests.support.crash.client import KIB, MIB, PART, Attempt, CrashClient, Killed, image
from tests.support.crash.deployment import Deployment, Running, new_deployment, on_gcs_at, on_s3_at
from tests.support.crash.invariants import Broken, check_upload, reported, resume, settle
from tests.support.crash.report import results, write
from tests.support.crash.soak_program import TEMPLATE, Progress, run, soak_postgres
from tests.support.stores.gcs_server import gcs_server
from tests.support.stores.s3_server import s3_server

# The number of kills whose results are written into the docs.
FULL = 500
CLIENTS = 3
# One per chapter. Files on object stores are larger, so those chapters take longer.
STORES = ("local", "s3", "local", "gcs")
# Kills in one chapter.
KILLS = 40
# After this time without reaching the failpoint, a process is killed wherever it is.
PATIENCE_SECONDS = 3.0
SCENARIOS = (
    *(scenarios.at_once, scenarios.in_a_session, scenarios.in_parts) * 2,
    scenarios.streamed,
    scenarios.in_one_request,
    scenarios.taken_over,
    scenarios.checked,
    scenarios.processed,
    scenarios.streamed_video,
    scenarios.abandoned,
    scenarios.left_alone,
    scenarios.purged,
    scenarios.deleted,
    scenarios.shown,
    scenarios.hidden,
    scenarios.replaced,
    scenarios.withdrawn,
)


@dataclass
class Score:
    """The results of all chapters."""

    kills: Counter[str] = field(default_factory=Counter)
    broken: list[Broken] = field(default_factory=list)
    uploads: int = 0

    def report(self, broken: Broken) -> None:
        self.broken.append(broken)
        echo(f"BROKEN: {broken}", err=True)


class Chapter:
    """One service. `smallest` and `largest` are file sizes in bytes."""

    def __init__(
        self, deployment: Deployment, store: str, score: Score, smallest: int, largest: int
    ) -> None:
        self._deployment = deployment
        self._score = score
        self._smallest = smallest
        self._largest = largest
        self._attempts: list[Attempt] = []
        self._lock = threading.Lock()
        others = {"local", "s3", "gcs"} - {store}
        reachable = [p for p in REGISTRY if p.name.partition(".")[0] not in others]
        self._names = {
            role: [p.name for p in reachable if p.process == role] for role in ("serve", "work")
        }

    def run(self, kills: int, show: Callable[[], None]) -> None:
        left: list[Attempt] = []
        for _ in range(kills // 2):
            left = self._round(left)
            show()
        settle(self._deployment, self._attempts, self._score.report)
        self._score.uploads += len(self._attempts)

    def _round(self, before: list[Attempt]) -> list[Attempt]:
        """Runs and kills a server and a worker. Returns the uploads that were in progress."""
        server, worker = (
            self._deployment.launch(role, self._trap(role)) for role in ("serve", "work")
        )
        server.ready()
        worker.ready()
        with suppress(Killed), self._deployment.client(server) as client:
            for attempt in before:
                with reported(self._score.report):
                    check_upload(client, attempt)
        under_way: list[Attempt] = []
        users = [
            threading.Thread(target=self._use, args=(server, under_way)) for _ in range(CLIENTS)
        ]
        for user in users:
            user.start()
        self._wait(server, PATIENCE_SECONDS)
        self._wait(worker, PATIENCE_SECONDS / 4)
        fates = [self._end(process) for process in (worker, server)]
        for user in users:
            user.join()
        for attempt in under_way:
            attempt.fate = " and ".join(fates)
        return under_way

    def _trap(self, role: str) -> str:
        # A worker reaches an upload's finish at most once, because few uploads need it.
        nth = random.randint(1, 4) if role == "serve" else 1  # noqa: S311
        # Prefer the failpoint with the fewest kills, so that each one is reached.
        names = random.sample(self._names[role], 3)
        return f"{min(names, key=self._score.kills.__getitem__)}@{nth}"

    def _wait(self, process: Running, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not process.dead and time.monotonic() < deadline:
            time.sleep(0.01)

    def _end(self, process: Running) -> str:
        """Kills the process if it still runs, and returns where it died."""
        process.kill()
        where = f"`{process.role}` anywhere"
        if process.died_there:
            where = process.failpoint.partition("@")[0]
        self._score.kills[where] += 1
        return where

    def _use(self, server: Running, under_way: list[Attempt]) -> None:
        """Acts as one client until the service is killed."""
        try:
            with self._deployment.client(server) as client, reported(self._score.report):
                while True:
                    self._do_something(client, under_way)
        except Killed:
            return
        except (grpc.RpcError, AssertionError) as error:
            self._score.report(Broken(f"a client got {error!r}", server.failpoint))

    def _do_something(self, client: CrashClient, under_way: list[Attempt]) -> None:
        size = random.randint(self._smallest, self._largest)  # noqa: S311
        attempt = Attempt(image(size))
        scenario: scenarios.Scenario = random.choice(SCENARIOS)  # noqa: S311
        with self._lock:
            resting = [a for a in self._attempts if a not in under_way]
            if resting and random.random() < 0.3:  # noqa: S311
                attempt, scenario = random.choice(resting), resume  # noqa: S311
            else:
                self._attempts.append(attempt)
            under_way.append(attempt)
        scenario(client, attempt)
        if attempt.media_id and random.random() < 0.3:  # noqa: S311
            self._deployment.wear_out(attempt.media_id)
        if attempt.end != "stored":
            self._deployment.expire(attempt)


@contextmanager
def new_chapter(url: str, template: str, store: str, score: Score) -> Iterator[Chapter]:
    if store == "local":
        with new_deployment(url, template) as deployment:
            yield Chapter(deployment, store, score, KIB, 3 * MIB)
        return
    if store == "gcs":
        with (
            gcs_server() as endpoint,
            new_deployment(url, template, **on_gcs_at(endpoint)) as deployment,
        ):
            yield Chapter(deployment, store, score, PART, 2 * PART)
        return
    with (
        tempfile.TemporaryDirectory(prefix="media-s3-") as folder,
        s3_server(Path(folder)) as endpoint,
        new_deployment(url, template, **on_s3_at(endpoint)) as deployment,
    ):
        yield Chapter(deployment, store, score, PART + MIB, 2 * PART)


def soak(kills: int) -> list[str]:
    """Runs chapters until there are at least `kills` kills."""
    score, progress = Score(), Progress()
    with soak_postgres() as url:
        number = 0
        while (done := score.kills.total()) < kills:
            with new_chapter(url, TEMPLATE, STORES[number % len(STORES)], score) as chapter:
                chapter.run(
                    min(KILLS, kills - done + 1), lambda: progress.show(text_of(score, kills))
                )
            number += 1
    progress.end(text_of(score, kills))
    broken = Counter(broken.fate for broken in score.broken)
    found = results(score.kills, broken)
    echo(found)
    if kills >= FULL:
        write("results", f"{score.uploads} uploads were under way meanwhile.\n\n{found}")
    return [str(one) for one in score.broken]


def text_of(score: Score, kills: int) -> str:
    done = f"{score.kills.total()} of {kills} kills, {score.uploads} uploads"
    return f"{done}, {len(score.broken)} promises broken"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=FULL)
    kills = parser.parse_args().kills
    run(lambda: soak(kills))


if __name__ == "__main__":
    main()
