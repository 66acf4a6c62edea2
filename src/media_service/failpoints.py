"""Named places at which a test kills this process, to see what a crash there leaves behind.

With `MEDIA_FAILPOINT=name` the process ends by SIGKILL when it comes to that place, with `name@3`
when it comes there for the third time. Nothing else is done at a failpoint, and without the
variable nothing at all.

Around every step that makes something durable there is one before and one after; whoever adds such
a step adds them, with what is promised if the process ends there. `docs/crash.md` is made from
this list, and `tests/crash` comes to every one of them.
"""

import itertools
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "MEDIA_FAILPOINT"


@dataclass(frozen=True, slots=True)
class Failpoint:
    """`process`: the command that comes here, `serve` or `work`. `where`: what was done and what
    was not. `promise`: what callers find after a restart."""

    name: str
    process: str
    where: str
    promise: str


NEVER_WAS = "The upload never was: no session, no media; the same upload id can be used again."
LEFT_OVER = "As if it never was, for callers; the file without a row is found by `reconcile`."
RESUMES = "The session is ACTIVE with every byte that was acknowledged, and goes on from there."
FINISHES = "The upload is VERIFYING; a job finishes it within a minute, or whoever completes it."
STAYS = "The upload is FINISHED, its media whole; completing again gives the same media."
RESENT = "The part is not acknowledged; the same bytes again are taken as that part."
MADE_AGAIN = "It is made again when somebody asks; what is left of it goes within an hour or so."
AGAIN = "The job's lease ends, another worker does it again, and the outcome is the same."
GOES_ON = "Another worker goes on; parts that are done are not encoded again."
UNMOVED = "The rendition is where it was; it is moved by another worker, and the copy is removed."

REGISTRY = (
    # A small upload on a disk.
    Failpoint("local.put.before", "serve", "nothing of a small blob is written", NEVER_WAS),
    Failpoint("local.put.written", "serve", "it is on the disk, under no name", LEFT_OVER),
    Failpoint("local.put.renamed", "serve", "it has its name, the folder is not synced", LEFT_OVER),
    Failpoint("local.put.after", "serve", "it is durable, and nobody knows", LEFT_OVER),
    Failpoint("upload.one-step.before", "serve", "stored, before the transaction", LEFT_OVER),
    Failpoint("upload.one-step.after", "serve", "committed, not answered", STAYS),
    # A session.
    Failpoint(
        "upload.create.before", "serve", "the store knows it, the database not yet", LEFT_OVER
    ),
    Failpoint("upload.create.after", "serve", "committed, not answered", RESUMES),
    Failpoint("upload.take-over.after", "serve", "a writer has its epoch, no bytes yet", RESUMES),
    Failpoint(
        "upload.succeed.before",
        "serve",
        "one takes over where parts may still come late, in a session of the store that no row"
        " names yet",
        RESUMES,
    ),
    Failpoint(
        "upload.succeed.after", "serve", "the row names it, the one before is still open", RESUMES
    ),
    Failpoint("local.part.created", "serve", "the part's file is there, and empty", RESUMES),
    Failpoint("local.part.written", "serve", "bytes are written, not synced", RESUMES),
    Failpoint("local.part.synced", "serve", "bytes are synced, not counted", RESUMES),
    Failpoint("local.part.sealed", "serve", "the part is whole and closed, not counted", RESUMES),
    Failpoint("upload.count.before", "serve", "bytes are durable, not counted", RESUMES),
    Failpoint("upload.count.after", "serve", "bytes are counted, nobody was told", RESUMES),
    Failpoint("upload.abort.before", "serve", "given up, not committed", RESUMES),
    Failpoint(
        "upload.abort.after",
        "serve",
        "committed, not answered",
        "It is ABORTED; a job removes its bytes.",
    ),
    # A part that its caller named.
    Failpoint("part.begin.after", "serve", "a part has its epoch, no bytes yet", RESENT),
    Failpoint("local.slot.taken", "serve", "the part has its place, no bytes are in it", RESENT),
    Failpoint("part.confirm.before", "serve", "the part is durable, not counted", RESENT),
    Failpoint("part.confirm.inside", "serve", "the part is counted, not committed", RESENT),
    Failpoint(
        "part.confirm.after", "serve", "counted, not answered", "The part is there, and listed."
    ),
    # Its end.
    Failpoint("upload.verify.before", "serve", "all bytes are here, not VERIFYING yet", RESUMES),
    Failpoint("upload.verify.after", "serve", "VERIFYING, nothing is joined", FINISHES),
    Failpoint("local.join.before", "serve", "about to join the parts", FINISHES),
    Failpoint("local.join.copied", "serve", "joined, and not synced", FINISHES),
    Failpoint("local.join.written", "serve", "joined, not under the blob's name", FINISHES),
    Failpoint("local.join.renamed", "serve", "renamed, the folder is not synced", FINISHES),
    Failpoint(
        "local.join.after", "serve", "the blob is durable, its parts are still there", FINISHES
    ),
    Failpoint("upload.finish.before", "serve", "joined and checked, not committed", FINISHES),
    Failpoint("upload.finish.inside", "serve", "in the transaction, before it commits", FINISHES),
    Failpoint("upload.finish.after", "serve", "committed, not answered", STAYS),
    Failpoint(
        "wake-up.before",
        "serve",
        "committed, and nobody was woken",
        "Whoever should have been woken looks by itself.",
    ),
    # The same on object stores.
    Failpoint("s3.begin.after", "serve", "a multipart upload is open, no row names it", LEFT_OVER),
    Failpoint("s3.part.before", "serve", "a part is about to be sent", RESUMES),
    Failpoint("s3.part.after", "serve", "a part is stored, not counted", RESUMES),
    Failpoint("s3.join.before", "serve", "about to complete the multipart upload", FINISHES),
    Failpoint("s3.join.after", "serve", "completed, the multipart upload is gone", FINISHES),
    Failpoint(
        "s3.pieces.after",
        "serve",
        "each session of several is an object of its own, nothing is joined",
        FINISHES,
    ),
    Failpoint("s3.pieces.joined", "serve", "joined, the pieces are still there", FINISHES),
    Failpoint("gcs.part.before", "serve", "a part is about to be sent", RESUMES),
    Failpoint("gcs.part.after", "serve", "a part is stored, not counted", RESUMES),
    Failpoint("gcs.join.before", "serve", "about to compose the parts", FINISHES),
    Failpoint("gcs.join.after", "serve", "composed, the parts are still there", FINISHES),
    # A purge.
    Failpoint(
        "media.purge.before",
        "serve",
        "removed, not committed",
        "The media is still there, deleted; it can be purged again.",
    ),
    Failpoint(
        "media.purge.after",
        "serve",
        "committed, not answered",
        "The media is gone; a job removes its bytes.",
    ),
    # A job that somebody asks for.
    Failpoint(
        "job.order.before",
        "serve",
        "accepted, not committed",
        "There is no such job; the same request id can be used again.",
    ),
    Failpoint(
        "job.order.after",
        "serve",
        "committed, not answered",
        "The job is there; the same request id gives it.",
    ),
    # A picture that was made for a request, and answered with.
    Failpoint("render.write.before", "serve", "its blob has a row, no bytes yet", MADE_AGAIN),
    Failpoint("render.write.after", "serve", "its bytes are durable, nothing refers", MADE_AGAIN),
    Failpoint("render.keep.before", "serve", "kept, not committed", MADE_AGAIN),
    Failpoint(
        "render.keep.after", "serve", "committed", "The next one who asks gets it without work."
    ),
    # What a worker does.
    Failpoint("job.claim.after", "work", "a job is claimed, nothing is done", AGAIN),
    Failpoint("process.store.before", "work", "made, nothing of it is stored", AGAIN),
    Failpoint(
        "process.finish.before", "work", "stored, in the transaction that ends the job", AGAIN
    ),
    Failpoint(
        "process.finish.after",
        "work",
        "committed, nobody was told",
        "The job SUCCEEDED, its rendition is there.",
    ),
    Failpoint("ingest.hash.after", "work", "the SHA-256 is recorded, the rest is not", AGAIN),
    Failpoint("ingest.finish.before", "work", "inspected, before the transaction", AGAIN),
    Failpoint("ingest.finish.after", "work", "committed, nobody was told", "The media is READY."),
    Failpoint(
        "upload.finish-job.after",
        "work",
        "the upload is finished, its job is not",
        "The job is done again, and finds nothing to do.",
    ),
    Failpoint("discard.before", "work", "about to remove the bytes of an ended upload", AGAIN),
    Failpoint("discard.removed", "work", "removed, the rows of its parts are still there", AGAIN),
    Failpoint("discard.after", "work", "committed", "Nothing is left of the upload but its row."),
    Failpoint("unlink.before", "work", "about to remove a blob nothing refers to", AGAIN),
    Failpoint("unlink.removed", "work", "removed, its row is still there", AGAIN),
    Failpoint("unlink.after", "work", "committed", "Nothing is left of the blob."),
    # Moving renditions between the private and the public store.
    Failpoint("place.reserve.after", "work", "a copy has its row, and no bytes", UNMOVED),
    Failpoint("place.write.after", "work", "the copy is stored, nothing refers to it", UNMOVED),
    Failpoint("place.take.inside", "work", "referred to, before that is committed", UNMOVED),
    Failpoint(
        "place.take.after",
        "work",
        "committed, nobody was woken",
        "The rendition has moved; a job removes what was copied.",
    ),
    Failpoint("publish.finish.before", "work", "all have moved, the job is not finished", AGAIN),
    Failpoint(
        "publish.finish.after",
        "work",
        "committed, nobody was told",
        "Every rendition lies where the visibility says.",
    ),
    Failpoint(
        "publish.give-up.after",
        "work",
        "a job was given up, another is to come",
        "In ten minutes the other moves them.",
    ),
    Failpoint(
        "media.purge-due.after", "work", "committed, nobody was woken", "A job removes its bytes."
    ),
    Failpoint(
        "render.forget.after",
        "work",
        "pictures nobody asks for are removed, nobody was woken",
        "Jobs remove their bytes; they are made again when somebody asks.",
    ),
    Failpoint(
        "upload.expire.before", "work", "expired, not committed", "The next sweep ends the session."
    ),
    Failpoint(
        "upload.expire.after",
        "work",
        "committed, nobody was woken",
        "It is EXPIRED; a job removes its bytes.",
    ),
    # A film that is made ready for streaming.
    Failpoint("stream.begin.before", "work", "planned, with its parts, not committed", AGAIN),
    Failpoint("stream.begin.after", "work", "committed, nothing is encoded", GOES_ON),
    Failpoint("segment.take.after", "work", "a segment is there, its part is not done", GOES_ON),
    Failpoint("chunk.finish.before", "work", "a part is encoded, its job is not ended", GOES_ON),
    Failpoint("chunk.finish.after", "work", "a part has ended, nobody was told", GOES_ON),
    Failpoint("stream.publish.before", "work", "whole, in the transaction that ends it", GOES_ON),
    Failpoint(
        "stream.publish.after",
        "work",
        "committed, nobody was told",
        "The job SUCCEEDED, its stream is whole.",
    ),
    Failpoint(
        "stream.abandon.after",
        "work",
        "what was encoded of a cancelled stream is removed, nobody was woken",
        "Jobs remove its bytes.",
    ),
)
NAMES = frozenset(failpoint.name for failpoint in REGISTRY)


class Trap:
    """Kills this process when it comes to `name` for the `nth` time."""

    def __init__(self, name: str, nth: int) -> None:
        self._name = name
        self._nth = nth
        self._hits = itertools.count(1)  # also counts right between threads

    def hit(self, name: str) -> None:
        if name == self._name and next(self._hits) == self._nth:
            os.write(2, f"killed at {name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def trap(setting: str) -> Trap:
    """The trap that `name` or `name@n` means; ValueError, which says what is allowed."""
    name, separator, nth = setting.partition("@")
    if name not in NAMES or (separator and not (nth.isdecimal() and int(nth))):
        raise ValueError("the name of a failpoint (see docs/crash.md), and perhaps @n")
    return Trap(name, int(nth) if nth else 1)


# The only state of this module: set once, before there are threads, and only in a test.
_armed: Trap | None = None


def arm(environ: Mapping[str, str]) -> None:
    """Sets this process's trap, if there is to be one. Called once, by its entry."""
    global _armed  # noqa: PLW0603 - through every constructor would be worse
    if setting := environ.get(VARIABLE):
        _armed = trap(setting)


def failpoint(name: str) -> None:
    """A place where this process may be killed."""
    if _armed is not None:
        _armed.hit(name)
