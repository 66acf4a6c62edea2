"""The trigger of each failpoint, and a service that is killed there."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from media_service.failpoints import REGISTRY
from tests.support.crash import client as scenarios
from tests.support.crash.client import KIB, MIB, Attempt, CrashClient, Killed, Scenario, image
from tests.support.crash.deployment import Deployment, Running
from tests.support.crash.invariants import check_upload, settle

SMALL, STREAM, LARGE = 100 * KIB, 3 * MIB, 9 * MIB
# After it, other workers repeat the jobs of workers that died again and again.
LONGEST_DELAY = "11 minutes"


@dataclass(frozen=True)
class Trigger:
    """How to reach a failpoint. `nth` is the pass at which the process is killed, late enough that
    something is acknowledged before. `worker`: a worker runs first. `worn_out`: ten workers have
    already died of the job."""

    scenario: Scenario
    nth: int = 1
    size: int = SMALL
    worker: bool = False
    worn_out: bool = False


SHARED = Trigger(scenarios.twice)
AT_ONCE = Trigger(scenarios.at_once)
IN_A_SESSION = Trigger(scenarios.in_a_session)
SECOND_PIECE = Trigger(scenarios.in_a_session, nth=2)
ABANDONED, PURGED = Trigger(scenarios.abandoned), Trigger(scenarios.purged)
PROCESSED = Trigger(scenarios.processed)
CHECKED = Trigger(scenarios.checked)
HIDDEN, SHOWN = Trigger(scenarios.hidden), Trigger(scenarios.shown)
SECOND_OF_PARTS = Trigger(scenarios.in_parts, nth=2)
ON_S3 = Trigger(scenarios.in_a_session, size=LARGE)
SECOND_PART = Trigger(scenarios.in_a_session, nth=2, size=LARGE)
TAKEN_OVER = Trigger(scenarios.taken_over, size=LARGE)
# Other stores have no sessions and no late requests.
ALSO_ON_S3 = ["upload.succeed.before", "upload.succeed.after"]
STREAMED = Trigger(scenarios.streamed_video)
# In the middle of encoding a part.
WHILE_ENCODING = Trigger(scenarios.streamed_video, nth=20)

REPLACED, WITHDRAWN = Trigger(scenarios.replaced), Trigger(scenarios.withdrawn)
IN_ONE_REQUEST = Trigger(scenarios.in_one_request, size=STREAM)
RENDERED = Trigger(scenarios.rendered, worker=True)

TRIGGERS: Mapping[str, Trigger] = {
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
    "local.part.synced": Trigger(scenarios.streamed, size=STREAM),
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
    "local.join.copied": Trigger(scenarios.in_parts),
    "local.join.written": Trigger(scenarios.in_parts),
    "local.join.renamed": IN_A_SESSION,
    "local.join.after": IN_A_SESSION,
    "upload.finish.before": IN_A_SESSION,
    "upload.finish.inside": IN_A_SESSION,
    "upload.finish.after": IN_A_SESSION,
    "notify.before": AT_ONCE,
    "media.purge.before": PURGED,
    "media.purge.after": PURGED,
    "render.write.before": RENDERED,
    "render.write.after": RENDERED,
    "render.keep.before": RENDERED,
    "render.keep.after": RENDERED,
    "version.add.inside": REPLACED,
    "version.remove.inside": WITHDRAWN,
    "version.promote.inside": REPLACED,
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
    "job.claim.after": IN_A_SESSION,
    "job.start.before": PROCESSED,
    "job.start.after": PROCESSED,
    "process.store.before": PROCESSED,
    "process.finish.before": PROCESSED,
    "process.finish.after": PROCESSED,
    "scan.finish.before": AT_ONCE,
    "scan.finish.after": AT_ONCE,
    "ingest.hash.after": IN_A_SESSION,
    "ingest.share.inside": SHARED,
    "ingest.share.after": SHARED,
    "ingest.finish.before": IN_A_SESSION,
    "ingest.finish.after": IN_A_SESSION,
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
    "publish.give-up.after": Trigger(scenarios.hidden, worn_out=True),
    "media.purge-due.after": Trigger(scenarios.deleted),
    "render.forget.after": RENDERED,
    "upload.expire.before": Trigger(scenarios.left_alone),
    "upload.expire.after": Trigger(scenarios.left_alone),
    "stream.begin.before": STREAMED,
    "stream.begin.after": STREAMED,
    "segment.take.after": WHILE_ENCODING,
    "chunk.finish.before": STREAMED,
    "chunk.finish.after": STREAMED,
    "stream.publish.before": STREAMED,
    "stream.publish.after": STREAMED,
    "stream.abandon.after": Trigger(scenarios.cancelled_stream, worker=True),
}


# While renditions move between the stores.
MOVING = [name for name, trigger in TRIGGERS.items() if trigger == HIDDEN]
# Those of them whose outcome depends on the store.
COPYING = ["place.write.after", "place.take.after"]

# The failpoints of workers, and of those that scan. Those in one line are reached one after the
# other by the workers that repeat or continue the same work.
IN_SEQUENCE = (
    ("job.claim.after", "ingest.hash.after", "ingest.finish.before", "ingest.finish.after"),
    ("ingest.share.inside", "ingest.share.after"),
    ("version.promote.inside",),
    ("process.store.before", "process.finish.before", "process.finish.after"),
    ("upload.finish-job.after",),
    ("discard.before", "discard.removed", "discard.after"),
    ("unlink.before", "unlink.removed", "unlink.after"),
    tuple(MOVING),
    ("publish.give-up.after",),
    ("media.purge-due.after",),
    ("render.forget.after",),
    ("upload.expire.before", "upload.expire.after"),
    (
        *("stream.begin.before", "stream.begin.after", "segment.take.after"),
        *("chunk.finish.before", "chunk.finish.after"),
        *("stream.publish.before", "stream.publish.after"),
    ),
    ("stream.abandon.after",),
)
SCANNING = ("scan.finish.before", "scan.finish.after")


def names(process: str, *stores: str) -> list[str]:
    """The failpoints of a process that are specific to these stores, or to the virus "scan", or to
    none. Those of erasures and batches have tests of their own."""
    others = {"local", "s3", "gcs", "scan", "erase", "batch"} - set(stores)
    return [
        failpoint.name
        for failpoint in REGISTRY
        if failpoint.process == process and failpoint.name.partition(".")[0] not in others
    ]


@dataclass
class Case:
    """A service, and the attempts made with it."""

    deployment: Deployment
    attempts: list[Attempt] = field(default_factory=list)

    @cached_property
    def server(self) -> Running:
        """A server that runs while workers are killed."""
        return self.deployment.start("serve")

    def kill_server_at(self, failpoint: str, trigger: Trigger | None = None) -> None:
        trigger = trigger or TRIGGERS[failpoint]
        server = self.deployment.start("serve", f"{failpoint}@{trigger.nth}")
        with self.deployment.client(server) as client:
            self._check_last(client)
            with suppress(Killed):
                self._run_scenario(client, failpoint, trigger)
            server.await_death()

    def kill_workers_at(self, *failpoints: str, trigger: Trigger | None = None) -> None:
        """Each failpoint kills the worker that continues the work of the one before."""
        trigger = trigger or TRIGGERS[failpoints[0]]
        with self.deployment.client(self.server) as client:
            attempt = self._run_scenario(client, " and ".join(failpoints), trigger)
            if attempt.render:
                self.deployment.await_render(attempt.media_id)
            self.deployment.expire(attempt)
            if trigger.worn_out:
                self.deployment.wear_out(attempt.media_id)
            for number, failpoint in enumerate(failpoints):
                if number:
                    self.deployment.pass_time(LONGEST_DELAY)
                nth = TRIGGERS[failpoint].nth
                self.deployment.start("work", f"{failpoint}@{nth}").await_death()
                self._check_last(client)
            self.deployment.keep_leases()
            self.deployment.put_off_parts()

    def settle(self) -> None:
        settle(self.deployment, self.attempts)

    def _run_scenario(self, client: CrashClient, failpoint: str, trigger: Trigger) -> Attempt:
        attempt = Attempt(image(trigger.size), fate=failpoint)
        self.attempts.append(attempt)
        worker = self.deployment.start("work") if trigger.worker else None
        try:
            trigger.scenario(client, attempt)
        finally:
            if worker:
                worker.stop()
        return attempt

    def _check_last(self, client: CrashClient) -> None:
        """Checks the state that the last killed process left behind."""
        for attempt in self.attempts[-1:]:
            check_upload(client, attempt)
