"""Reads the number of pixels from the header of an image, in the server's process.

It runs in the event loop, so every parser has a limit on the work for one file. A file that exceeds
a limit counts as one whose header cannot be read. Inspection reads the file again, in the sandbox.
"""

import contextlib
import io
import re
import struct
from itertools import islice

import imagesize

# The number of bytes that detection reads. The size of a JPEG follows its EXIF and ICC data.
HEAD = 1 << 20
# An image that needs more reads than this to find its size has a header that no encoder writes.
MAX_READS = 500
MAX_READ_BYTES = 2 * HEAD
# The size of the second header of a BMP of OS/2, whose sides have 16 bits.
OS2_HEADER = struct.pack("<I", 12)
# The boxes with the sizes of images in one HEIC or AVIF file.
MAX_SIZES = 1000


def pixels(head: bytes, content_type: str) -> int:
    """Returns the number of pixels in the header, or 0 if the header cannot be read."""
    if content_type in {"image/heic", "image/avif"}:
        return isobmff_pixels(head)
    if content_type == "image/gif":  # imagesize reads sides above 32767 as negative
        width, height = struct.unpack("<HH", head[6:10].ljust(4, b"\0"))
        return int(width * height)
    if content_type == "image/bmp":  # imagesize does not know the header of OS/2
        return bmp_pixels(head)
    if content_type == "image/svg+xml":  # this process parses no XML
        return 0
    with contextlib.suppress(Exception):  # a broken header can make the parser raise anything
        width, height = imagesize.get(LimitedReader(head), exif_rotation=False)
        return max(0, int(width)) * max(0, int(height))
    return 0


class LimitedReader(io.BytesIO):
    """A file that raises ValueError if it is read too often, or too much of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads = MAX_READS
        self._bytes = MAX_READ_BYTES

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._reads -= 1
        self._bytes -= len(data)
        if self._reads < 0 or self._bytes < 0:
            raise ValueError("the header takes too many reads")
        return data


def bmp_pixels(head: bytes) -> int:
    """Returns the pixels of a BMP, whose second header begins with its own size. A negative height
    means that the rows are stored from top to bottom."""
    sides = struct.Struct("<HH" if head[14:18] == OS2_HEADER else "<ii")
    if len(head) < 18 + sides.size:
        return 0
    width, height = sides.unpack_from(head, 18)
    return int(max(0, width) * abs(height))


def isobmff_pixels(head: bytes) -> int:
    """Returns the pixels of the largest image in a HEIC or AVIF file, from its `ispe` boxes
    (ISO/IEC 23008-12, 6.5.3). For a grid of tiles, this is the whole grid."""
    largest = 0
    for found in islice(re.finditer(rb"ispe\0\0\0\0", head), MAX_SIZES):
        size = head[found.end() : found.end() + 8]
        if len(size) == 8:
            width, height = struct.unpack(">II", size)
            largest = max(largest, width * height)
    return largest
