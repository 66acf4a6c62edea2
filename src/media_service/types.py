"""Small types that every layer shares."""

import os
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

# Bytes, or a view of bytes that are part of more. Nobody changes them.
Octets: TypeAlias = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Owner:
    """Who something belongs to. `org_id` is empty for a user without an organisation."""

    type: str
    id: str
    org_id: str = ""


@dataclass(frozen=True, slots=True)
class Checksums:
    """Checksums of a whole object; None where not known. `sha256` is 32 bytes."""

    crc32c: int | None = None
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why something ended as FAILED: a `Reason` and words for a person."""

    reason: str
    message: str


def new_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then random. Sorts by time of creation."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds << 80 | random) & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    return str(uuid.UUID(int=value))


def now() -> datetime:
    return datetime.now(UTC)
