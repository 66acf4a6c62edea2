"""Batches: which media they change, and what becomes of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from media_service.errors import MediaError
from media_service.media.model import Media


@dataclass(frozen=True, slots=True)
class Selection:
    """The media that a batch changes: those with these ids, or those that match the filter."""

    media_ids: Sequence[str] = ()
    filter_text: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A media as it is, and as it will be."""

    before: Media
    after: Media

    @property
    def real(self) -> bool:
        return self.before != self.after

    def made(self) -> Media:
        """The media once the change is made, which changes its etag."""
        return replace(self.after, revision=self.before.revision + 1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one media: its etag, or why it was not changed."""

    media_id: str
    result: str | MediaError


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """`changed`: the number of media that are changed, without those that already were as they
    should be."""

    outcomes: Sequence[Outcome]
    changed: int

    @property
    def failed(self) -> int:
        return sum(isinstance(each.result, MediaError) for each in self.outcomes)
