"""Failpoints: named places at which a test kills this process, to examine what a crash leaves
behind.

With `MEDIA_FAILPOINT=name`, the process kills itself (SIGKILL) when it reaches the failpoint; with
`name@3`, when it reaches it for the third time. Without the variable, failpoints do nothing.

There is a failpoint before and after every step that makes something durable, each with a promise
about what callers find after a crash there. `docs/crash.md` has a table generated from this list,
and `tests/crash` reaches every one of them.
"""

import itertools
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "MEDIA_FAILPOINT"


@dataclass(frozen=True, slots=True)
class Failpoint:
    """`process`: the command that reaches it, `serve` or `work`. `where`: what is done, and what is
    not. `promise`: what callers find after a restart."""

    name: str
    process: str
    where: str
    promise: str


NEVER_WAS = "There is no upload and no media; the same request can be sent again."
LEFT_OVER = "For callers, nothing happened; `reconcile` finds the file without a row."
RESUMES = "The upload is ACTIVE with every acknowledged byte, and continues there."
FINISHES = "The upload is VERIFYING; a job or a caller finishes it within a minute."
STAYS = "The upload is FINISHED with its whole media; completing again returns the same media."
RESENT = "The part is not acknowledged; the same bytes are accepted again."
MADE_AGAIN = "The next request renders it again; leftovers are removed within about an hour."
AGAIN = "The lease of the job ends, another worker repeats it, and the result is the same."
GOES_ON = "Another worker continues; finished chunks are not encoded again."
NEXT_STEP = "Another worker continues behind the last change; no media is changed twice."
NO_ERASURE = "There is no erasure; the same request can be sent again."
ENDED = "The erasure has ended, with the one report that the audit log has."
SIGNED = "GetErasure can be called again, and returns the report with one signature."
ERASES = "The erasure continues, counts each row once, and ends with its report."
AS_BEFORE = "The media is served as before, and has no new version; the request can be sent again."
STILL_THERE = "The version and its bytes still exist; it can be deleted again."
NOT_YET = "The version before is served until another worker has repeated the inspection."
UNMOVED = "The rendition is where it was; another worker moves it, and the copy is removed."

REGISTRY = (
    # A small upload to a local disk.
    Failpoint("local.put.before", "serve", "nothing of a small blob is written", NEVER_WAS),
    Failpoint("local.put.written", "serve", "it is on the disk, without a name", LEFT_OVER),
    Failpoint("local.put.renamed", "serve", "it has its name, the folder is not synced", LEFT_OVER),
    Failpoint("local.put.after", "serve", "it is durable, without a row", LEFT_OVER),
    Failpoint("upload.one-step.before", "serve", "stored, before the transaction", LEFT_OVER),
    Failpoint("upload.one-step.after", "serve", "committed, not answered", STAYS),
    # An idempotency key.
    Failpoint(
        "key.claim.after",
        "serve",
        "a key is claimed for a lease, nothing is stored",
        "The key is refused as IDEMPOTENCY_IN_PROGRESS for 30 seconds, then it creates the upload.",
    ),
    Failpoint(
        "key.settle.after",
        "serve",
        "the key is settled, in the transaction that has its effect",
        "Neither is committed: 30 seconds later the key creates the upload.",
    ),
    # An upload.
    Failpoint(
        "upload.create.before", "serve", "the blob is open in the store, without a row", LEFT_OVER
    ),
    Failpoint("upload.create.after", "serve", "committed, not answered", RESUMES),
    Failpoint("upload.take-over.after", "serve", "a writer has its epoch, no bytes yet", RESUMES),
    Failpoint(
        "upload.succeed.before",
        "serve",
        "a writer takes over; no row names its new session yet",
        RESUMES,
    ),
    Failpoint(
        "upload.succeed.after",
        "serve",
        "the row names the session, the earlier one is still open",
        RESUMES,
    ),
    Failpoint("local.part.created", "serve", "the file of the part exists, and is empty", RESUMES),
    Failpoint("local.part.written", "serve", "bytes are written, not synced", RESUMES),
    Failpoint("local.part.synced", "serve", "bytes are synced, not recorded", RESUMES),
    Failpoint("local.part.sealed", "serve", "the part is whole and closed, not recorded", RESUMES),
    Failpoint("upload.count.before", "serve", "bytes are durable, not recorded", RESUMES),
    Failpoint("upload.count.after", "serve", "bytes are recorded, not acknowledged", RESUMES),
    Failpoint("upload.abort.before", "serve", "aborted, not committed", RESUMES),
    Failpoint(
        "upload.abort.after",
        "serve",
        "committed, not answered",
        "It is ABORTED; a job removes its bytes.",
    ),
    # A part of a caller.
    Failpoint("part.begin.after", "serve", "a part has its epoch, no bytes yet", RESENT),
    Failpoint("local.slot.taken", "serve", "the part has its slot, without bytes", RESENT),
    Failpoint("part.confirm.before", "serve", "the part is durable, not recorded", RESENT),
    Failpoint("part.confirm.inside", "serve", "the part is recorded, not committed", RESENT),
    Failpoint(
        "part.confirm.after", "serve", "recorded, not answered", "The part exists and is listed."
    ),
    # Completing an upload.
    Failpoint(
        "upload.verify.before", "serve", "all bytes have arrived, not VERIFYING yet", RESUMES
    ),
    Failpoint("upload.verify.after", "serve", "VERIFYING, nothing is joined", FINISHES),
    Failpoint("local.join.before", "serve", "about to join the parts", FINISHES),
    Failpoint("local.join.copied", "serve", "joined, and not synced", FINISHES),
    Failpoint("local.join.written", "serve", "joined, without the blob's name", FINISHES),
    Failpoint("local.join.renamed", "serve", "renamed, the folder is not synced", FINISHES),
    Failpoint("local.join.after", "serve", "the blob is durable, its parts still exist", FINISHES),
    Failpoint("upload.finish.before", "serve", "joined and checked, not committed", FINISHES),
    Failpoint("upload.finish.inside", "serve", "in the transaction, before it commits", FINISHES),
    Failpoint("upload.finish.after", "serve", "committed, not answered", STAYS),
    Failpoint(
        "notify.before",
        "serve",
        "committed, no notification sent",
        "Every waiter looks again by itself.",
    ),
    # The same on object stores.
    Failpoint("s3.begin.after", "serve", "a multipart upload is open, no row names it", LEFT_OVER),
    Failpoint("s3.part.before", "serve", "a part is about to be sent", RESUMES),
    Failpoint("s3.part.after", "serve", "a part is stored, not recorded", RESUMES),
    Failpoint("s3.join.before", "serve", "about to complete the multipart upload", FINISHES),
    Failpoint("s3.join.after", "serve", "completed, the multipart upload is gone", FINISHES),
    Failpoint(
        "s3.pieces.after",
        "serve",
        "each multipart upload of several is an object, nothing is joined",
        FINISHES,
    ),
    Failpoint("s3.pieces.joined", "serve", "joined, the pieces still exist", FINISHES),
    Failpoint("gcs.part.before", "serve", "a part is about to be sent", RESUMES),
    Failpoint("gcs.part.after", "serve", "a part is stored, not recorded", RESUMES),
    Failpoint("gcs.join.before", "serve", "about to compose the parts", FINISHES),
    Failpoint("gcs.join.after", "serve", "composed, the parts still exist", FINISHES),
    # A purge.
    Failpoint(
        "media.purge.before",
        "serve",
        "removed, not committed",
        "The media still exists, deleted; it can be purged again.",
    ),
    Failpoint(
        "media.purge.after",
        "serve",
        "committed, not answered",
        "The media is gone; a job removes its bytes.",
    ),
    # A job that a caller requests.
    Failpoint(
        "job.start.before",
        "serve",
        "accepted, not committed",
        "There is no such job; the same request id can be used again.",
    ),
    Failpoint(
        "job.start.after",
        "serve",
        "committed, not answered",
        "The job exists; the same request id returns it.",
    ),
    # A render that was answered with.
    Failpoint("render.write.before", "serve", "its blob has a row, no bytes yet", MADE_AGAIN),
    Failpoint(
        "render.write.after", "serve", "its bytes are durable, without a reference", MADE_AGAIN
    ),
    Failpoint("render.keep.before", "serve", "stored, not committed", MADE_AGAIN),
    Failpoint(
        "render.keep.after", "serve", "committed", "The next request gets it from the cache."
    ),
    # Versions.
    Failpoint("version.add.inside", "serve", "a version is added, not committed", AS_BEFORE),
    Failpoint("version.remove.inside", "serve", "a version is removed, not committed", STILL_THERE),
    # Jobs.
    Failpoint("job.claim.after", "work", "a job is claimed, nothing is done", AGAIN),
    Failpoint("process.store.before", "work", "finished, nothing of it is stored", AGAIN),
    Failpoint(
        "process.finish.before", "work", "stored, in the transaction that ends the job", AGAIN
    ),
    Failpoint(
        "process.finish.after",
        "work",
        "committed, no notification sent",
        "The job SUCCEEDED, and its rendition exists.",
    ),
    Failpoint("scan.finish.before", "work", "scanned, before the transaction", AGAIN),
    Failpoint(
        "scan.finish.after",
        "work",
        "its result is committed",
        "The media is in quarantine, or its inspection follows.",
    ),
    Failpoint("ingest.hash.after", "work", "the SHA-256 is recorded, the rest is not", AGAIN),
    Failpoint(
        "ingest.share.inside",
        "work",
        "the media names the older blob, nothing is committed",
        AGAIN,
    ),
    Failpoint(
        "ingest.share.after",
        "work",
        "the media shares a blob, the job is not finished",
        "The job runs again. Another one removes the replaced bytes.",
    ),
    Failpoint("ingest.finish.before", "work", "inspected, before the transaction", AGAIN),
    Failpoint("version.promote.inside", "work", "a version is current, not committed", NOT_YET),
    Failpoint(
        "ingest.finish.after", "work", "committed, no notification sent", "The media is READY."
    ),
    Failpoint(
        "upload.finish-job.after",
        "work",
        "the upload is finished, its job is not",
        "The job runs again, and finds nothing to do.",
    ),
    Failpoint("discard.before", "work", "about to remove the bytes of an ended upload", AGAIN),
    Failpoint("discard.removed", "work", "removed, the rows of its parts still exist", AGAIN),
    Failpoint("discard.after", "work", "committed", "Only the row of the upload is left."),
    Failpoint("unlink.before", "work", "about to remove a blob without references", AGAIN),
    Failpoint("unlink.removed", "work", "removed, its row still exists", AGAIN),
    Failpoint("unlink.after", "work", "committed", "Nothing is left of the blob."),
    # Moving renditions between the private and the public store.
    Failpoint("place.reserve.after", "work", "a copy has a row, without bytes", UNMOVED),
    Failpoint("place.write.after", "work", "the copy is stored, without a reference", UNMOVED),
    Failpoint("place.take.inside", "work", "referenced, not committed", UNMOVED),
    Failpoint(
        "place.take.after",
        "work",
        "committed, no notification sent",
        "The rendition has moved; a job removes the old bytes.",
    ),
    Failpoint("publish.finish.before", "work", "all have moved, the job is not finished", AGAIN),
    Failpoint(
        "publish.finish.after",
        "work",
        "committed, no notification sent",
        "Every rendition is in the store that its visibility requires.",
    ),
    Failpoint(
        "publish.give-up.after",
        "work",
        "a job was given up, another is enqueued",
        "The other one moves them in ten minutes.",
    ),
    Failpoint(
        "media.purge-due.after",
        "work",
        "committed, no notification sent",
        "A job removes its bytes.",
    ),
    # The job of a batch.
    Failpoint("batch.step.before", "work", "some media are changed, not committed", NEXT_STEP),
    Failpoint("batch.step.after", "work", "some media are changed, others are not", NEXT_STEP),
    # Erasing a person. A server starts it and signs its report, a worker does the rest.
    Failpoint("erase.start.before", "serve", "an erasure starts, not committed", NO_ERASURE),
    Failpoint("erase.start.after", "serve", "it is committed, not answered", ERASES),
    Failpoint("erase.give-up.after", "work", "a job was given up, another is enqueued", ERASES),
    Failpoint("erase.begin.after", "work", "it knows the service accounts of the user", ERASES),
    Failpoint("erase.batch.before", "work", "some rows are erased, not committed", ERASES),
    Failpoint("erase.batch.after", "work", "some rows are erased, others are not", ERASES),
    Failpoint(
        "erase.finish.before", "work", "all tables are erased, its job has not ended", ERASES
    ),
    Failpoint(
        "erase.repeat.after", "work", "another pass is enqueued, no notification sent", ERASES
    ),
    Failpoint("erase.end.before", "work", "it has its report, not committed", ERASES),
    Failpoint("erase.end.after", "work", "it has ended, and its names are forgotten", ENDED),
    Failpoint("erase.sign.before", "serve", "its report is signed, not committed", SIGNED),
    Failpoint("erase.sign.after", "serve", "its report is signed, not answered", SIGNED),
    Failpoint(
        "render.forget.after",
        "work",
        "unused renders are removed, no notification sent",
        "Jobs remove their bytes; the next request renders them again.",
    ),
    Failpoint(
        "upload.expire.before",
        "work",
        "expired, not committed",
        "The next sweep expires the upload.",
    ),
    Failpoint(
        "upload.expire.after",
        "work",
        "committed, no notification sent",
        "It is EXPIRED; a job removes its bytes.",
    ),
    # A stream.
    Failpoint("stream.begin.before", "work", "planned, with its chunks, not committed", AGAIN),
    Failpoint("stream.begin.after", "work", "committed, nothing is encoded", GOES_ON),
    Failpoint(
        "segment.take.after", "work", "a segment is stored, its chunk is not finished", GOES_ON
    ),
    Failpoint("chunk.finish.before", "work", "a chunk is encoded, its job has not ended", GOES_ON),
    Failpoint("chunk.finish.after", "work", "a chunk has ended, no notification sent", GOES_ON),
    Failpoint(
        "stream.publish.before", "work", "whole, in the transaction that ends the job", GOES_ON
    ),
    Failpoint(
        "stream.publish.after",
        "work",
        "committed, no notification sent",
        "The job SUCCEEDED, and its stream is whole.",
    ),
    Failpoint(
        "stream.abandon.after",
        "work",
        "the segments of a cancelled stream are removed, no notification sent",
        "Jobs remove its bytes.",
    ),
)
NAMES = frozenset(failpoint.name for failpoint in REGISTRY)


class Trap:
    """Kills this process when it reaches `name` for the `nth` time."""

    def __init__(self, name: str, nth: int) -> None:
        self._name = name
        self._nth = nth
        self._hits = itertools.count(1)  # counts correctly across threads

    def hit(self, name: str) -> None:
        if name == self._name and next(self._hits) == self._nth:
            os.write(2, f"killed at {name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def trap(setting: str) -> Trap:
    """Parses `name` or `name@n`. Raises ValueError with the allowed values."""
    name, separator, nth = setting.partition("@")
    if name not in NAMES or (separator and not (nth.isdecimal() and int(nth))):
        raise ValueError("the name of a failpoint (see docs/crash.md), optionally followed by @n")
    return Trap(name, int(nth) if nth else 1)


# Set once, before there are threads, and only in tests.
_armed: Trap | None = None


def arm(environ: Mapping[str, str]) -> None:
    """Sets the trap of this process, if the variable is set. The entry point calls it once."""
    global _armed  # noqa: PLW0603 - through every constructor would be worse
    if setting := environ.get(VARIABLE):
        _armed = trap(setting)


def failpoint(name: str) -> None:
    """Kills this process if the failpoint is armed."""
    if _armed is not None:
        _armed.hit(name)
