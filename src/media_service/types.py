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
    """A UUIDv7 (RFC 9562, with the fraction of method 3 in section 6.2): 48 bits of milliseconds,
    12 of a fraction of one, then random. Those of a process sort as they were made, unless its
    clock is set back."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8)) >> 2
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | random
    return str(uuid.UUID(int=value))


def now() -> datetime:
    return datetime.now(UTC)
