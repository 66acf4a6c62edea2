"""PNG files without the chunk at their end (ISO/IEC 15948, 11.2.5)."""

import os
import struct

SIGNATURE_BYTES, CHUNK_BYTES = 8, 12
# More than any file has.
MAX_CHUNKS = 100_000


def end_missing(media: int) -> bool:
    """Whether the file ends after a chunk other than IEND."""
    at, size = SIGNATURE_BYTES, os.fstat(media).st_size
    for _ in range(MAX_CHUNKS):
        head = os.pread(media, 8, at)
        if len(head) < 8:
            return at == size
        length, name = struct.unpack(">I4s", head)
        if name == b"IEND":
            return False
        at += CHUNK_BYTES + length
    return False
