"""Detects truncated files by the sizes in their headers: truncated videos still begin to play, and
some decoders of images fill what is missing with one color."""

import os
import struct
from collections.abc import Iterator

from media_service.codecs.inspect.openexr import chunk_ends
from media_service.errors import InvalidArgument, Reason

SEGMENT = bytes.fromhex("18538067")
# An EBML header has about forty bytes, and the segment follows.
HEADER_BYTES = 1024


def check_complete(media: int, reader: str) -> None:
    """Checks a file that the demuxer or the loader of images with the name `reader` will read.
    Raises InvalidArgument (MEDIA_CORRUPT)."""
    size = os.fstat(media).st_size
    ends = ENDS.get(reader)
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


# By the names of demuxers, and of loaders of images.
ENDS = {
    "mov": box_ends,
    "heifload": box_ends,
    "matroska": segment_end,
    "exr_pipe": chunk_ends,
}
