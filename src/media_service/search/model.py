"""What searches find."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from media_service.media.model import Media

# What a search ranks and counts. Of more matches, it shows the newest first.
MOST_RANKED = 10_000


class Order(StrEnum):
    """How the media that were found are ordered. SIMILAR: none has the words; these have similar
    ones, the most similar first."""

    RELEVANCE = "RELEVANCE"
    NEWEST = "NEWEST"
    SIMILAR = "SIMILAR"


@dataclass(frozen=True, slots=True)
class Hit:
    """A media that was found. `excerpt`: of the text of a document, around a match."""

    media: Media
    rank: float
    create_time: datetime
    excerpt: str


@dataclass(frozen=True, slots=True)
class Hits:
    """A page of hits. `total`: how many media match. `approximate`: they were not counted."""

    hits: Sequence[Hit]
    order: Order
    total: int
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a text, and whether it is what was searched."""

    text: str
    matches: bool


@dataclass(frozen=True, slots=True)
class Highlight:
    field: str
    fragments: tuple[Fragment, ...]


class Dimension(StrEnum):
    """What media are counted by. MONTH: of the capture, or if it is not known, of the upload."""

    KIND = "KIND"
    CONTENT_TYPE = "CONTENT_TYPE"
    TAG = "TAG"
    PROJECT = "PROJECT"
    MONTH = "MONTH"


@dataclass(frozen=True, slots=True)
class Facet:
    """The most frequent values of a dimension, with their counts. `more`: there are others."""

    dimension: Dimension
    counts: Sequence[tuple[str, int]]
    more: bool


@dataclass(frozen=True, slots=True)
class Facets:
    """`counted`: how many media were counted. `truncated`: more match."""

    facets: Sequence[Facet]
    counted: int
    truncated: bool
