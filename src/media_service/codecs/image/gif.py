"""GIF files that end too early. The format: GIF89a, 15 to 27."""

import mmap
import os
from enum import Enum

EXTENSION, IMAGE = 0x21, 0x2C
# The mark at the end of the last block, and that of the file. Interrupted writers leave them out.
END = b"\x00\x3b"
# The header and the screen descriptor, and an image descriptor with the code size behind it.
HEADER_BYTES, DESCRIPTOR_BYTES = 13, 11
HAS_COLORS = 0x80
# Each has up to 255 bytes. A file with more is taken for complete.
MAX_SUB_BLOCKS = 1_000_000


class Ending(Enum):
    """How a file ends. END_MISSING: only the marks of the end are missing."""

    COMPLETE = "complete"
    END_MISSING = "end missing"
    TRUNCATED = "truncated"


def ending(media: int) -> Ending:
    size, left = os.fstat(media).st_size, MAX_SUB_BLOCKS
    if size <= HEADER_BYTES:
        return Ending.TRUNCATED
    if os.pread(media, len(END), size - len(END)) == END:
        return Ending.COMPLETE
    with mmap.mmap(media, 0, access=mmap.ACCESS_READ) as data:
        at = HEADER_BYTES + color_bytes(data[10])
        while at < size:
            if data[at] == EXTENSION:
                at += 2
            elif data[at] == IMAGE and at + 9 < size:
                at += DESCRIPTOR_BYTES + color_bytes(data[at + 9])
            elif data[at] == IMAGE:
                return Ending.TRUNCATED
            else:  # the mark of the end, or something that no decoder reads
                return Ending.COMPLETE
            while at < size and (length := data[at]):
                at += 1 + length
                left -= 1
                if not left:
                    return Ending.COMPLETE
            at += 1
    return Ending.END_MISSING if at <= size + 1 else Ending.TRUNCATED


def color_bytes(flags: int) -> int:
    """The size of the color table that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & HAS_COLORS else 0


def with_end(media: int) -> bytes:
    """Returns the file with the marks of its end."""
    with os.fdopen(os.dup(media), "rb") as file:
        file.seek(0)
        return file.read() + END
