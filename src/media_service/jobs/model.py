"""Jobs: persistent units of background work."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from media_service.access.owner import Owner
from media_service.access.role import Role
from media_service.errors import Fault


class JobKind(StrEnum):
    """What a job does. Each comment begins with its subject, whose id is `subject_id`."""

    SCAN = "SCAN"  # on a media: scan its original for viruses
    INGEST = "INGEST"  # on a media: hash and inspect it, render its thumbnails
    PROCESS = "PROCESS"  # on a media: render a rendition with a pipeline
    FOREIGN = "FOREIGN"  # on a media: have a foreign worker do what a PROCESS job does
    CHUNK = "CHUNK"  # on a media: encode a chunk of the stream that the parent job packages
    FINISH = "FINISH"  # on an upload in VERIFYING: complete it
    DISCARD = "DISCARD"  # on an upload that ended without a media: remove its bytes
    PUBLISH = "PUBLISH"  # on a media: move its renditions to the store that its visibility requires
    UNLINK = "UNLINK"  # on a blob without references: remove its bytes
    BATCH = "BATCH"  # on itself: change the media that a filter selects
    ERASE = "ERASE"  # on an erasure: erase a person from all tables once

    @property
    def type(self) -> "JobKind":
        """What callers see: where a rendition is rendered does not concern them."""
        return JobKind.PROCESS if self is JobKind.FOREIGN else self

    @property
    def renders(self) -> bool:
        """Whether it renders a rendition with a pipeline."""
        return self.type is JobKind.PROCESS

    @property
    def cancellable(self) -> bool:
        return self.renders or self is JobKind.BATCH


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
    """The priority of a job among the jobs of its owner."""

    LOW = 1
    NORMAL = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a worker holds until its lease expires. `fence` is the fencing token: each claim
    of a job increments it, and only the holder of the highest fence may change the job.
    `lost_leases` and `outages`: how many of its attempts ended because the worker died, and because
    the store or the database was unavailable. `version`: see `NewJob`."""

    job_id: str
    kind: JobKind
    subject_id: str
    attempt: int
    fence: int
    owner: Owner | None
    pipeline: str
    rendition: str
    parent_id: str | None = None
    subjob_number: int = 0
    heavy: bool = False
    lost_leases: int = 0
    outages: int = 0
    anew: bool = False
    version: int = 0

    @property
    def try_number(self) -> int:
        """The number of this attempt, counting only those that the work itself ended."""
        return self.attempt - self.lost_leases - self.outages


@dataclass(frozen=True, slots=True)
class Subjob:
    """A job that does a part of the work of another job, its parent."""

    number: int
    state: JobState
    progress_percent: int
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a batch has not changed a media."""

    media_id: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """How far a BATCH job is, in media. `selected`: how many there were when it began. `refusals`:
    the first of those that failed."""

    selected: int
    processed: int
    changed: int
    failed: int
    refusals: Sequence[Refusal] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job as callers see it. A PROCESS job renders the `rendition` of its media with `pipeline`,
    in canonical text form. A BATCH job has a `batch` and no `media_id`. `actor`: the caller who
    started it; None: the service itself. `fault` is the error of the last attempt, if it failed.
    `role`: of the caller for whom it was loaded."""

    job_id: str
    kind: JobKind
    media_id: str
    owner: Owner
    actor: Owner | None
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
    role: Role = Role.NONE
    batch: BatchCounts | None = None
