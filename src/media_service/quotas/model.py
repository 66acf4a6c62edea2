"""Quotas of accounts. An account is named like a resource of grants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from media_service.access.owner import Owner
from media_service.clock import next_month


class Measure(StrEnum):
    """What a quota limits. FILE_BYTES is the size of the largest file."""

    BYTES = "BYTES"
    MEDIA = "MEDIA"
    FILE_BYTES = "FILE_BYTES"
    RENDITION_BYTES = "RENDITION_BYTES"
    CACHE_BYTES = "CACHE_BYTES"
    PROCESSING_SECONDS = "PROCESSING_SECONDS"

    @property
    def counted(self) -> str:
        """The rows that use it."""
        return COUNTED.get(self, "media")

    @property
    def reset_time(self) -> datetime | None:
        """When nothing is used any more."""
        return next_month() if self is Measure.PROCESSING_SECONDS else None


COUNTED = {
    Measure.RENDITION_BYTES: "renditions",
    Measure.CACHE_BYTES: "cached renders",
    Measure.PROCESSING_SECONDS: "jobs of this month",
}


@dataclass(frozen=True, slots=True)
class Charged:
    """The owner and the project of a media or an upload, from which its accounts follow."""

    owner: Owner
    project_id: str


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit."""

    hard: int | None = None
    soft: int | None = None


@dataclass(frozen=True, slots=True)
class Amount:
    """What uploads that have not ended reserve, and what is stored."""

    reserved: int = 0
    used: int = 0

    @property
    def total(self) -> int:
        return self.reserved + self.used


@dataclass(frozen=True, slots=True)
class Entry:
    """One measure of a quota. `soft_exceed_time`: since when more than the soft limit is in use."""

    limits: Limits
    amount: Amount
    soft_exceed_time: datetime | None = None


def is_whole(entries: Mapping[Measure, Entry]) -> bool:
    """Whether a ledger has all measures, and a limit. One without a limit is being counted, or was
    when its process died."""
    return len(entries) == len(Measure) and any(
        entry.limits != Limits() for entry in entries.values()
    )


@dataclass(frozen=True, slots=True)
class Drift:
    """The ledger had another amount than the rows that it counts."""

    measure: Measure
    ledger: Amount
    counted: Amount

    def correct(self, amount: Amount) -> Amount:
        """The right amount, if the ledger has this one now."""
        return Amount(
            amount.reserved + self.counted.reserved - self.ledger.reserved,
            amount.used + self.counted.used - self.ledger.used,
        )

    @property
    def explanation(self) -> str:
        parts = []
        for name, rows, had, has in (
            ("reserved", "open uploads", self.ledger.reserved, self.counted.reserved),
            ("used", self.measure.counted, self.ledger.used, self.counted.used),
        ):
            if had != has:
                how = "more" if had > has else "less"
                parts.append(f"The ledger had {abs(had - has)} {how} {name} than the {rows} have.")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Mark:
    """Changes whenever a ledger was corrected, and with the month that it counts."""

    correct_time: datetime | None
    month: datetime


@dataclass(frozen=True, slots=True)
class Comparison:
    """A ledger, and the rows that it counts, at one moment. Whatever is charged later changes both,
    so the difference stays the same until the ledger is corrected."""

    mark: Mark
    ledger: Mapping[Measure, Amount]
    counted: Mapping[Measure, Amount]

    @property
    def drifts(self) -> Sequence[Drift]:
        return [
            Drift(measure, self.ledger[measure], self.counted[measure])
            for measure in Measure
            if self.ledger[measure] != self.counted[measure]
        ]


@dataclass(frozen=True, slots=True)
class Quota:
    """What an account may use, and uses."""

    account: str
    entries: Mapping[Measure, Entry]


@dataclass(frozen=True, slots=True)
class Stored:
    """Media that an account pays for. `rendition_bytes`: of their renditions and streams."""

    media: int = 0
    bytes: int = 0
    rendition_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account stores. `kinds` and `projects` begin with the most bytes. `days`: what was
    added on each and is still stored; oldest first. `deleted`: what is deleted and not purged."""

    account: str
    total: Stored
    kinds: Mapping[str, Stored]
    projects: Mapping[str, Stored]
    days: Mapping[date, Stored]
    deleted: Stored
