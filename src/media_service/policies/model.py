"""Blocked files."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, order=True)
class FileHash:
    """What a file is known by: its SHA-256, or the perceptual hash of its image."""

    perceptual: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class BlockedFile:
    """A file that nobody may upload. `resource`: whose list it is on: "service:" or
    "organization:ID"."""

    resource: str
    hash: FileHash
    note: str
    create_time: datetime
