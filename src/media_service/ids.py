"""Ids: of media, uploads, jobs, blobs."""

import os
import time
import uuid


def new_id() -> str:
    """Returns a new UUIDv7 (RFC 9562, method 3 of section 6.2).

    It holds 48 bits of milliseconds, 12 bits of a fraction of a millisecond, and random bits. The
    ids of one process sort by creation, unless its clock is set back.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8)) >> 2
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | random
    return str(uuid.UUID(int=value))
