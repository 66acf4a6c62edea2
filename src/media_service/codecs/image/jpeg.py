"""JPEG files without the marker at their end, as interrupted copies and some cameras leave them."""

import mmap
import os
import re

END, END_CODE = b"\xff\xd9", 0xD9
# A marker, other than those that occur within the data of a scan.
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# Markers without a segment.
STANDALONE = {0x01, 0xD8}
# More than any file has. Each takes a microsecond.
MAX_MARKERS = 100_000


def end_missing(media: int) -> bool:
    """Whether the end marker is missing. Other data may follow it, such as the video of a motion
    photo."""
    size = os.fstat(media).st_size
    if size < 4 or os.pread(media, 2, size - 2) == END:
        return False
    with mmap.mmap(media, 0, access=mmap.ACCESS_READ) as data:
        at = 2
        for _ in range(MAX_MARKERS):
            marker = MARKER.search(data, at)
            if marker is None:
                return True
            at, code = marker.end(), data[marker.end() - 1]
            if code == END_CODE:
                return False
            if code not in STANDALONE:
                at += int.from_bytes(data[at : at + 2], "big")
    return False


def with_end(media: int) -> bytes:
    """Returns the file with an end marker."""
    with os.fdopen(os.dup(media), "rb") as file:
        file.seek(0)
        return file.read() + END
