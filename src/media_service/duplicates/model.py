"""Duplicates: media with the same bytes, and those that look nearly the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from media_service.media.model import Media

HASH_BITS = 256
# The largest distance of duplicates. PDQ recommends 31. Images that a watermark or a crop has
# changed are often a little farther. Of 14 photos, different ones were at least 106 apart.
MAX_DISTANCE = 40
# The largest distance from a blocked image that is refused: a search finds all up to it.
BLOCK_DISTANCE = 31


class Decision(StrEnum):
    DIFFERENT = "DIFFERENT"
    KEEP = "KEEP"  # of the two, this one


@dataclass(frozen=True, slots=True)
class SimilarMedia:
    """A media, and how far it is from another one. None: it has the same bytes."""

    media: Media
    distance: int | None

    @property
    def similarity(self) -> float:
        """From 0 to 1, which equal bytes and equal hashes have."""
        return 1 - (self.distance or 0) / HASH_BITS


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """The oldest media of a group, and those that are similar to it. `keep_id`: of the one that
    somebody decided to keep; empty if nobody did."""

    media: Media
    others: Sequence[SimilarMedia]
    keep_id: str = ""


@dataclass(frozen=True, slots=True)
class Merged:
    """The media that is left, and the ids of those that were deleted."""

    media: Media
    deleted: Sequence[str]
