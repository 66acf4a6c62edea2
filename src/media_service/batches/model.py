"""Batches: which media they change, and what becomes of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from media_service.access.principal import Principal
from media_service.db.new_job import NewJob
from media_service.errors import MediaError
from media_service.jobs.model import Job
from media_service.media.model import Media


@dataclass(frozen=True, slots=True)
class Selection:
    """The media that a batch changes: those with these ids, or those that match the filter."""

    media_ids: Sequence[str] = ()
    filter_text: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A media as it is, and as it will be. `job`: that is started for it."""

    before: Media
    after: Media
    job: NewJob | None = None

    @property
    def real(self) -> bool:
        return self.changes_media or self.job is not None

    @property
    def changes_media(self) -> bool:
        return self.before != self.after

    def made(self) -> Media:
        """The media once the change is made. A change of a media changes its etag."""
        return replace(self.after, revision=self.before.revision + self.changes_media)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one media: its etag, or why it was not changed. `job_id`: see `Change`."""

    media_id: str
    result: str | MediaError
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """`changed`: the number of media that are changed, without those that already were as they
    should be. `selected`: of those that are selected. `job`: does all that instead, because they
    are too many."""

    outcomes: Sequence[Outcome]
    changed: int
    selected: int
    job: Job | None = None

    @property
    def failed(self) -> int:
        return sum(isinstance(each.result, MediaError) for each in self.outcomes)


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch that is a job. `action`: see `stored`. `reached`: the media that is done
    (create_time, media_id), as are newer ones. `errors`: how many it keeps."""

    principal: Principal
    filter_text: str
    action: Mapping[str, Any]
    reached: tuple[datetime, str]
    selected: int
    processed: int
    errors: int
