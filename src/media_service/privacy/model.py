"""Erasures of persons."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from media_service.db.personal_data import Fate


@dataclass(frozen=True, slots=True)
class ErasedRows:
    """How many rows of a table were erased."""

    table: str
    fate: Fate
    count: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """`names`: of the user, first, and of their service accounts; empty once it has ended.
    `pseudonym`: stands for the user in what stays. `passes`: how often all tables were erased.
    `report`: JSON, empty until it has ended. `report_digest`: its SHA-256 in the audit log, empty
    until it has ended and when the log no longer has it. `signature`, `public_key`: of the report,
    empty until it is signed."""

    erasure_id: str
    pseudonym: str
    names: Sequence[str]
    counts: Sequence[ErasedRows]
    passes: int
    report: str
    report_digest: bytes
    signature: bytes
    public_key: bytes
    create_time: datetime
    end_time: datetime | None

    @property
    def is_recorded(self) -> bool:
        """Whether the report is the one in the audit log."""
        return self.report_digest == digest_of(self.report)


def digest_of(report: str) -> bytes:
    return hashlib.sha256(report.encode()).digest()
