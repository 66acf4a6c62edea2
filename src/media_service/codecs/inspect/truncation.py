"""Whether a film has all the bytes that its header promises: one that was cut off still begins to
play."""

import os
import struct
from collections.abc import Iterator

from media_service.errors import InvalidArgument, Reason

SEGMENT = bytes.fromhex("18538067")
# An EBML header has some forty bytes, and the segment follows.
EBML_HEAD = 1024


def check_whole(media: int, demuxer: str) -> None:
    """Raises InvalidArgument (MEDIA_CORRUPT)."""
    size = os.fstat(media).st_size
    ends = {"mov": boxes, "matroska": segment}.get(demuxer)
    if ends and any(end > size for end in ends(media)):
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, "The file is not whole: its header promises more bytes."
        )


def boxes(media: int) -> Iterator[int]:
    """Where the boxes with the media and its index end. What else stands there may be cut off."""
    start = 0
    while len(head := os.pread(media, 16, start)) >= 8:
        size, name = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        if size < 8:  # it goes on to the end of the file, or is none
            return
        start += size
        if name in {b"mdat", b"moov", b"moof"}:
            yield start
        if start >= 1 << 62:
            return


def segment(media: int) -> Iterator[int]:
    """Where the Matroska segment ends, if it was known when its header was written."""
    head = os.pread(media, EBML_HEAD, 0)
    start = head.find(SEGMENT) + len(SEGMENT)
    if start < len(SEGMENT) or start == len(head):
        return
    # A number of that many bytes: as the zeros before its first bit.
    width = 9 - head[start].bit_length()
    number = int.from_bytes(head[start : start + width], "big") & ((1 << 7 * width) - 1)
    if width <= 8 and number != (1 << 7 * width) - 1:
        yield start + width + number
