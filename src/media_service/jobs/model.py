"""A job: work that was accepted, and so ends."""

from dataclasses import dataclass
from enum import StrEnum


class JobKind(StrEnum):
    """What a job does; `subject_id` says to what."""

    INGEST = "INGEST"  # a media: hash it if need be, inspect it, make it READY or FAILED
    FINISH = "FINISH"  # an upload that is VERIFYING: check it, make it FINISHED or FAILED
    DISCARD = "DISCARD"  # an upload that ended without a media: remove its bytes
    PUBLISH = "PUBLISH"  # a media: let its renditions lie in the store where they belong
    UNLINK = "UNLINK"  # a blob that nothing refers to any more: remove its bytes


class JobState(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this worker holds until its lease ends. `token` fences: a later claim has a
    higher one, and only the highest may change the job."""

    job_id: str
    kind: JobKind
    subject_id: str
    attempt: int
    token: int
