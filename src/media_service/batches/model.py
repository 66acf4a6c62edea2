"""Batches: which media they change, and what becomes of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.new_job import NewJob
from media_service.errors import MediaError
from media_service.jobs.model import Job
from media_service.media.model import etag_of


@dataclass(frozen=True, slots=True)
class Selection:
    """The media that a batch changes: those with these ids, or those that match the filter."""

    media_ids: Sequence[str] = ()
    filter_text: str = ""


class Changeable(Protocol):
    """What a batch needs to know of each media."""

    @property
    def media_id(self) -> str: ...

    @property
    def owner(self) -> Owner: ...

    @property
    def project_id(self) -> str: ...

    @property
    def revision(self) -> int: ...

    @property
    def role(self) -> Role: ...


@dataclass(frozen=True, slots=True)
class Tagged:
    """A media, as far as its tags are concerned. `deleted`: and can be undeleted."""

    media_id: str
    owner: Owner
    project_id: str
    revision: int
    role: Role
    tags: Sequence[str]
    deleted: bool


M = TypeVar("M", bound=Changeable)


@dataclass(frozen=True, slots=True)
class Change(Generic[M]):
    """A media, and the values of its fields that will be others. `job`: that is started for it."""

    before: M
    values: Mapping[str, Any]
    job: NewJob | None = None

    @classmethod
    def of(cls, before: M, values: Mapping[str, Any]) -> "Change[M]":
        """`values`: of which some may be the present ones."""
        new = {name: one for name, one in values.items() if getattr(before, name) != one}
        return cls(before, new)

    @property
    def real(self) -> bool:
        return bool(self.values or self.job)

    @property
    def owner(self) -> Owner:
        owner: Owner = self.values.get("owner", self.before.owner)
        return owner

    @property
    def project_id(self) -> str:
        return str(self.values.get("project_id", self.before.project_id))

    @property
    def etag(self) -> str:
        """Once the change is made, which changes the etag of a media."""
        return etag_of(self.before.revision + bool(self.values))


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
