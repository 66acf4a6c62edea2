"""A job: work that was accepted, and so ends."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from media_service.access.owner import Owner
from media_service.errors import Fault


class JobKind(StrEnum):
    """What a job does; `subject_id` says to what."""

    INGEST = "INGEST"  # on a media: hash and inspect it, render its thumbnails
    PROCESS = "PROCESS"  # a media: make a rendition of it by a pipeline
    CHUNK = "CHUNK"  # a media: encode a part of it for the stream that another job makes
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

    @property
    def final(self) -> bool:
        return self not in {JobState.QUEUED, JobState.RUNNING}


class Priority(IntEnum):
    """Among the jobs of one owner."""

    LOW = 1
    NORMAL = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this worker holds until its lease ends. `token` fences: a later claim has a
    higher one, and only the highest may change the job."""

    job_id: str
    kind: JobKind
    subject_id: str
    attempt: int
    token: int
    owner: Owner | None
    pipeline: str
    rendition: str
    parent_id: str | None = None
    part: int = 0
    heavy: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a job, as whoever does the job sees it."""

    part: int
    state: JobState
    progress_percent: int
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its owner sees it. A PROCESS job makes the `rendition` of its media by a `pipeline`,
    in the canonical text form. `fault`: of the last attempt, unless that goes on or went well."""

    job_id: str
    kind: JobKind
    media_id: str
    owner: Owner
    actor_id: str
    state: JobState
    priority: Priority
    stage: str
    progress_percent: int
    attempt: int
    fault: Fault | None
    pipeline: str
    rendition: str
    project_id: str
    create_time: datetime
    start_time: datetime | None
    update_time: datetime
    end_time: datetime | None
