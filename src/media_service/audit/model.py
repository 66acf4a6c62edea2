"""What the audit log tells about a media, a caller and a period."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from media_service.db.audit_entry import Category


class Scope(StrEnum):
    """What statistics are about."""

    MEDIA = "media"
    PROJECT = "project"
    ORGANIZATION = "organization"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry with the names that it does not hold itself: those of the caller and of the file, as
    far as they are still known."""

    time: datetime
    entry_id: str
    category: Category
    action: str
    actor_type: str
    actor_id: str
    person_id: str
    org_id: str
    project_id: str
    media_id: str
    filename: str
    version: int
    resource_id: str
    outcome: str
    counted: bool
    requests: int
    bytes: int
    credential_id: str
    request_id: str
    address: str
    user_agent: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Usage:
    """What was done on one day, or in the whole period."""

    requests: int
    views: int
    downloads: int
    bytes: int
    people: int


@dataclass(frozen=True, slots=True)
class DayUsage:
    day: date
    action: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Analytics:
    """`days`: by day, then action. Days without entries are left out."""

    total: Usage
    days: Sequence[DayUsage]
