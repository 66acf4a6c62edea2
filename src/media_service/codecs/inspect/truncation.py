"""Detects truncated video files by the sizes in their headers, because truncated files still begin
to play."""

import os
import struct
from collections.abc import Iterator

from media_service.errors import InvalidArgument, Reason

SEGMENT = bytes.fromhex("18538067")
# An EBML header has about forty bytes, and the segment follows.
HEADER_BYTES = 1024


def check_complete(media: int, demuxer: str) -> None:
    """Raises InvalidArgument (MEDIA_CORRUPT)."""
    size = os.fstat(media).st_size
    ends = {"mov": box_ends, "matroska": segment_end}.get(demuxer)
    if ends and any(end > size for end in ends(media)):
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, "The file is truncated: it is shorter than its header says."
        )


def box_ends(media: int) -> Iterator[int]:
    """Yields the ends of the boxes with the media data and its index. Other boxes may be
    truncated."""
    start = 0
    while len(header := os.pread(media, 16, start)) >= 8:
        size, name = struct.unpack(">I4s", header[:8])
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack(">Q", header[8:])
        if size < 8:  # it extends to the end of the file, or is invalid
            return
        start += size
        if name in {b"mdat", b"moov", b"moof"}:
            yield start
        if start >= 1 << 62:
            return


def segment_end(media: int) -> Iterator[int]:
    """Yields the end of the Matroska segment, if the header has it."""
    head = os.pread(media, HEADER_BYTES, 0)
    start = head.find(SEGMENT) + len(SEGMENT)
    if start < len(SEGMENT) or start == len(head):
        return
    # The leading zeros of the first byte give the number of bytes of the size.
    width = 9 - head[start].bit_length()
    unknown = (1 << 7 * width) - 1
    size = int.from_bytes(head[start : start + width], "big") & unknown
    if width <= 8 and size != unknown:
        yield start + width + size
