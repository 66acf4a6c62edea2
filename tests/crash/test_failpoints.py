"""Killed at each failpoint, and started again: what was acknowledged is there, nothing is
half-visible, every upload comes to its end, rows and bytes agree.

Each server that is to be killed is first asked for what the one before it left. When all have been
killed, everything is brought to its end and judged as a whole.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from media_service.failpoints import REGISTRY
from tests.crash import customer as customers
from tests.crash.customer import KIB, MIB, Attempt, Customer, Killed, picture
from tests.crash.judge import look, settle
from tests.crash.site import Running, Site, new_site, on_gcs_at, on_s3_at
from tests.gcs_server import gcs_server
from tests.s3_server import s3_server

Scenario = Callable[[Customer, Attempt], None]
SMALL, STREAM, LARGE = 100 * KIB, 3 * MIB, 9 * MIB


@dataclass(frozen=True)
class Way:
    """How to come to a failpoint. `nth`: late enough that something was acknowledged before."""

    scenario: Scenario
    nth: int = 1
    size: int = SMALL


AT_ONCE = Way(customers.at_once)
IN_A_SESSION = Way(customers.in_a_session)
SECOND_PIECE = Way(customers.in_a_session, nth=2)
ABANDONED, PURGED = Way(customers.abandoned), Way(customers.purged)
CHECKED = Way(customers.checked)
SECOND_OF_PARTS = Way(customers.in_parts, nth=2)
ON_S3 = Way(customers.in_a_session, size=LARGE)
SECOND_PART = Way(customers.in_a_session, nth=2, size=LARGE)
TAKEN_OVER = Way(customers.taken_over, size=LARGE)
# Elsewhere nothing can come late, and no session is begun.
ALSO_ON_S3 = ["upload.succeed.before", "upload.succeed.after"]

WAYS: Mapping[str, Way] = {
    "local.put.before": AT_ONCE,
    "local.put.written": AT_ONCE,
    "local.put.renamed": AT_ONCE,
    "local.put.after": AT_ONCE,
    "upload.one-step.before": AT_ONCE,
    "upload.one-step.after": AT_ONCE,
    "upload.create.before": IN_A_SESSION,
    "upload.create.after": IN_A_SESSION,
    "upload.take-over.after": SECOND_PIECE,
    "upload.succeed.before": TAKEN_OVER,
    "upload.succeed.after": TAKEN_OVER,
    "local.part.created": SECOND_PIECE,
    "local.part.written": SECOND_PIECE,
    "local.part.synced": Way(customers.streamed, size=STREAM),
    "local.part.sealed": SECOND_PIECE,
    "upload.count.before": SECOND_PIECE,
    "upload.count.after": SECOND_PIECE,
    "upload.abort.before": ABANDONED,
    "upload.abort.after": ABANDONED,
    "part.begin.after": SECOND_OF_PARTS,
    "local.slot.taken": SECOND_OF_PARTS,
    "part.confirm.before": SECOND_OF_PARTS,
    "part.claim.inside": SECOND_OF_PARTS,
    "part.confirm.after": SECOND_OF_PARTS,
    "upload.verify.before": IN_A_SESSION,
    "upload.verify.after": IN_A_SESSION,
    "local.join.before": IN_A_SESSION,
    "local.join.copied": Way(customers.in_parts),
    "local.join.written": Way(customers.in_parts),
    "local.join.renamed": IN_A_SESSION,
    "local.join.after": IN_A_SESSION,
    "upload.finish.before": IN_A_SESSION,
    "upload.finish.inside": IN_A_SESSION,
    "upload.finish.after": IN_A_SESSION,
    "wake-up.before": AT_ONCE,
    "media.purge.before": PURGED,
    "media.purge.after": PURGED,
    "s3.begin.after": ON_S3,
    "s3.part.before": SECOND_PART,
    "s3.part.after": SECOND_PART,
    "s3.join.before": ON_S3,
    "s3.join.after": ON_S3,
    "s3.pieces.after": TAKEN_OVER,
    "s3.pieces.joined": TAKEN_OVER,
    "gcs.part.before": SECOND_PART,
    "gcs.part.after": SECOND_PART,
    "gcs.join.before": ON_S3,
    "gcs.join.after": ON_S3,
    "job.claim.after": AT_ONCE,
    "ingest.hash.after": IN_A_SESSION,
    "ingest.finish.before": AT_ONCE,
    "ingest.finish.after": AT_ONCE,
    "upload.finish-job.after": CHECKED,
    "discard.before": ABANDONED,
    "discard.removed": ABANDONED,
    "discard.after": ABANDONED,
    "unlink.before": PURGED,
    "unlink.removed": PURGED,
    "unlink.after": PURGED,
    "media.purge-due.after": Way(customers.deleted),
    "upload.expire.before": Way(customers.left_alone),
    "upload.expire.after": Way(customers.left_alone),
}


def names(process: str, *stores: str) -> list[str]:
    """Those failpoints that a process comes to, of these stores or of none."""
    others = {"local", "s3", "gcs"} - set(stores)
    return [
        failpoint.name
        for failpoint in REGISTRY
        if failpoint.process == process and failpoint.name.partition(".")[0] not in others
    ]


@dataclass
class Case:
    """A service, and what was tried with it."""

    site: Site
    attempts: list[Attempt] = field(default_factory=list)

    def new(self, failpoint: str) -> Attempt:
        attempt = Attempt(picture(WAYS[failpoint].size), fate=failpoint)
        self.attempts.append(attempt)
        return attempt

    def look(self, customer: Customer) -> None:
        """At what the last one to be killed left behind."""
        for attempt in self.attempts[-1:]:
            look(customer, attempt)

    def kill_server_at(self, failpoint: str) -> None:
        way = WAYS[failpoint]
        server = self.site.start("serve", f"{failpoint}@{way.nth}")
        with Customer(server.address) as customer:
            self.look(customer)
            with suppress(Killed):
                way.scenario(customer, self.new(failpoint))
            server.await_death()


@pytest.fixture(scope="module")
def local(postgres: str, template: str) -> Iterator[Case]:
    with new_site(postgres, template) as site:
        yield Case(site)


@pytest.fixture(scope="module")
def server(local: Case) -> Running:
    """One that goes on while workers are killed."""
    return local.site.start("serve")


@pytest.fixture(scope="module")
def on_s3(postgres: str, template: str) -> Iterator[Case]:
    with (
        tempfile.TemporaryDirectory(prefix="media-s3-") as folder,
        s3_server(Path(folder)) as endpoint,
        new_site(postgres, template, **on_s3_at(endpoint)) as site,
    ):
        yield Case(site)


@pytest.fixture(scope="module")
def on_gcs(postgres: str, template: str) -> Iterator[Case]:
    with gcs_server() as endpoint, new_site(postgres, template, **on_gcs_at(endpoint)) as site:
        yield Case(site)


def test_there_is_a_way_to_every_failpoint() -> None:
    assert set(WAYS) == {failpoint.name for failpoint in REGISTRY}


def test_an_unknown_failpoint_stops_the_start(local: Case) -> None:
    server = local.site.start("serve", "nowhere")
    assert server.process.wait() == 2
    assert "MEDIA_FAILPOINT must be the name of a failpoint" in server.log.read_text()


@pytest.mark.parametrize("failpoint", names("serve", "local"))
def test_killed_on_a_disk(local: Case, failpoint: str) -> None:
    local.kill_server_at(failpoint)


@pytest.mark.parametrize("failpoint", names("work"))
def test_a_worker_is_killed(local: Case, server: Running, failpoint: str) -> None:
    with Customer(server.address) as customer:
        attempt = local.new(failpoint)
        WAYS[failpoint].scenario(customer, attempt)
        local.site.expire([attempt.upload_id])
        local.site.start("work", failpoint).await_death()
        local.look(customer)


def test_on_a_disk_everything_comes_to_its_end(local: Case) -> None:
    settle(local.site, local.attempts)


@pytest.mark.parametrize(
    "failpoint", [*ALSO_ON_S3, *(n for n in names("serve", "s3") if n.startswith("s3"))]
)
def test_killed_on_s3(on_s3: Case, failpoint: str) -> None:
    on_s3.kill_server_at(failpoint)


def test_on_s3_everything_comes_to_its_end(on_s3: Case) -> None:
    settle(on_s3.site, on_s3.attempts)


@pytest.mark.parametrize("failpoint", [n for n in names("serve", "gcs") if n.startswith("gcs")])
def test_killed_on_gcs(on_gcs: Case, failpoint: str) -> None:
    on_gcs.kill_server_at(failpoint)


def test_on_gcs_everything_comes_to_its_end(on_gcs: Case) -> None:
    settle(on_gcs.site, on_gcs.attempts)
