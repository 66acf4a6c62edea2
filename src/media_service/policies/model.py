"""Blocked files."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class BlockedFile:
    """A file that nobody may upload. `resource`: whose list it is on: "service:" or
    "organization:ID"."""

    resource: str
    sha256: bytes
    note: str
    create_time: datetime
