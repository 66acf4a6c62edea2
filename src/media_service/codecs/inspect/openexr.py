"""Reads where the chunks of pixels of an OpenEXR file end (openexr.com, "OpenEXR File Layout")."""

import os
import struct
from collections.abc import Iterator

# Flags in the version of the file.
TILED, DEEP, SEVERAL_PARTS = 0x200, 0x800, 0x1000
# Attributes have a name and a type of at most 255 characters each, and their size.
MAX_ATTRIBUTES = 1000
ATTRIBUTE_BYTES = 2 * 256 + 4
# The offsets of chunks are read in blocks. More chunks than this would be lines beyond any limit.
OFFSETS = 4096
MAX_BLOCKS = 256
# An offset that no file reaches.
BEYOND = 1 << 62


def chunk_ends(media: int) -> Iterator[int]:
    """Yields the end of the last chunk, or BEYOND if a chunk was never written. Yields nothing for
    files with deep data or several parts."""
    version = os.pread(media, 8, 0)[4:]
    flags = int.from_bytes(version, "little")
    start = header_end(media)
    if flags & (DEEP | SEVERAL_PARTS) or start is None:
        return
    offsets = chunk_offsets(media, start)
    if not offsets:
        return
    if not min(offsets) or max(offsets) >= BEYOND:
        yield BEYOND
        return
    # The coordinates of the chunk, and the size of its data.
    head = struct.Struct("<16xI" if flags & TILED else "<4xI")
    last = os.pread(media, head.size, max(offsets))
    size = head.unpack(last)[0] if len(last) == head.size else 0
    yield max(offsets) + head.size + size


def header_end(media: int) -> int | None:
    """Returns where the header ends, or None if it cannot be read."""
    at = 8
    for _ in range(MAX_ATTRIBUTES):
        data = os.pread(media, ATTRIBUTE_BYTES, at)
        if data[:1] == b"\0":
            return at + 1
        name, _, rest = data.partition(b"\0")
        kind, end, rest = rest.partition(b"\0")
        if not end or len(rest) < 4:
            return None
        at += len(name) + len(kind) + 6 + int.from_bytes(rest[:4], "little")
    return None


def chunk_offsets(media: int, start: int) -> list[int]:
    """Returns the offsets in the table at `start`, which ends where the first chunk begins. It is
    empty if the table is too long."""
    found: list[int] = []
    end = BEYOND
    for _ in range(MAX_BLOCKS):
        data = os.pread(media, 8 * OFFSETS, start + 8 * len(found))
        for (offset,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8]):
            if start + 8 * len(found) >= end:
                return found
            found.append(offset)
            end = min(end, offset or end)
        if len(data) < 8 * OFFSETS:
            # The file ends within the table.
            return found if start + 8 * len(found) >= end else [*found, 0]
    return []
