"""The way to each failpoint, and a service that goes it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from media_service.failpoints import REGISTRY
from tests.support.crash import client as customers
from tests.support.crash.client import KIB, MIB, Attempt, Customer, Killed, Scenario, image
from tests.support.crash.deployment import Running, Site
from tests.support.crash.invariants import look, settle

SMALL, STREAM, LARGE = 100 * KIB, 3 * MIB, 9 * MIB


@dataclass(frozen=True)
class Way:
    """How to come to a failpoint. `nth`: late enough that something was acknowledged before.
    `worker`: whether one has to do its part on the way. `worn_out`: five workers died of it
    already."""

    scenario: Scenario
    nth: int = 1
    size: int = SMALL
    worker: bool = False
    worn_out: bool = False


AT_ONCE = Way(customers.at_once)
IN_A_SESSION = Way(customers.in_a_session)
SECOND_PIECE = Way(customers.in_a_session, nth=2)
ABANDONED, PURGED = Way(customers.abandoned), Way(customers.purged)
PROCESSED = Way(customers.processed)
CHECKED = Way(customers.checked)
HIDDEN, SHOWN = Way(customers.hidden), Way(customers.shown)
SECOND_OF_PARTS = Way(customers.in_parts, nth=2)
ON_S3 = Way(customers.in_a_session, size=LARGE)
SECOND_PART = Way(customers.in_a_session, nth=2, size=LARGE)
TAKEN_OVER = Way(customers.taken_over, size=LARGE)
# Elsewhere nothing can come late, and no session is begun.
ALSO_ON_S3 = ["upload.succeed.before", "upload.succeed.after"]
STREAMED = Way(customers.streamed_video)
# In the middle of a part.
WHILE_ENCODING = Way(customers.streamed_video, nth=20)

IN_ONE_REQUEST = Way(customers.in_one_request, size=STREAM)
RENDERED = Way(customers.rendered, worker=True)

WAYS: Mapping[str, Way] = {
    "local.put.before": AT_ONCE,
    "local.put.written": AT_ONCE,
    "local.put.renamed": AT_ONCE,
    "local.put.after": AT_ONCE,
    "upload.one-step.before": AT_ONCE,
    "upload.one-step.after": AT_ONCE,
    "key.claim.after": AT_ONCE,
    "key.settle.after": AT_ONCE,
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
    "part.confirm.inside": SECOND_OF_PARTS,
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
    "render.write.before": RENDERED,
    "render.write.after": RENDERED,
    "render.keep.before": RENDERED,
    "render.keep.after": RENDERED,
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
    "job.start.before": PROCESSED,
    "job.start.after": PROCESSED,
    "process.store.before": PROCESSED,
    "process.finish.before": PROCESSED,
    "process.finish.after": PROCESSED,
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
    "place.reserve.after": HIDDEN,
    "place.write.after": HIDDEN,
    "place.take.inside": HIDDEN,
    "place.take.after": HIDDEN,
    "publish.finish.before": HIDDEN,
    "publish.finish.after": HIDDEN,
    "publish.give-up.after": Way(customers.hidden, worn_out=True),
    "media.purge-due.after": Way(customers.deleted),
    "render.forget.after": RENDERED,
    "upload.expire.before": Way(customers.left_alone),
    "upload.expire.after": Way(customers.left_alone),
    "stream.begin.before": STREAMED,
    "stream.begin.after": STREAMED,
    "segment.take.after": WHILE_ENCODING,
    "chunk.finish.before": STREAMED,
    "chunk.finish.after": STREAMED,
    "stream.publish.before": STREAMED,
    "stream.publish.after": STREAMED,
    "stream.abandon.after": Way(customers.cancelled_stream, worker=True),
}


# Where renditions are on their way between the stores.
MOVING = [name for name, way in WAYS.items() if way == HIDDEN]


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

    @cached_property
    def server(self) -> Running:
        """One that goes on while workers are killed."""
        return self.site.start("serve")

    def kill_server_at(self, failpoint: str, way: Way | None = None) -> None:
        way = way or WAYS[failpoint]
        server = self.site.start("serve", f"{failpoint}@{way.nth}")
        with self.site.customer(server) as customer:
            self._look(customer)
            with suppress(Killed):
                self._go(customer, failpoint, way)
            server.await_death()

    def kill_worker_at(self, failpoint: str, way: Way) -> None:
        with self.site.customer(self.server) as customer:
            attempt = self._go(customer, failpoint, way)
            if attempt.render:
                self.site.await_render(attempt.media_id)
            self.site.expire(attempt)
            if way.worn_out:
                self.site.wear_out(attempt.media_id)
            self.site.start("work", f"{failpoint}@{way.nth}").await_death()
            self.site.keep_leases()
            self.site.put_off_parts()
            self._look(customer)

    def settle(self) -> None:
        settle(self.site, self.attempts)

    def _go(self, customer: Customer, failpoint: str, way: Way) -> Attempt:
        attempt = Attempt(image(way.size), fate=failpoint)
        self.attempts.append(attempt)
        worker = self.site.start("work") if way.worker else None
        try:
            way.scenario(customer, attempt)
        finally:
            if worker:
                worker.stop()
        return attempt

    def _look(self, customer: Customer) -> None:
        """At what the last one to be killed left behind."""
        for attempt in self.attempts[-1:]:
            look(customer, attempt)
