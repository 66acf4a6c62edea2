"""Detects the content type of a file from its first bytes.

It reads only headers, in pure Python, which is safe in the server's process: a hostile header can
at most cause a wrong result. It runs in the event loop, so every parser here has a limit on the
work for one file. A file that exceeds a limit counts as one whose header cannot be read. Inspection
reads the file again, in the sandbox.
"""

import contextlib
import io
import re
import struct
from itertools import islice

import filetype
import imagesize

from media_service.codecs.inspect.office import PART_PREFIXES
from media_service.media import office_type as office
from media_service.media.model import Kind

# The number of bytes that detection reads. The size of a JPEG follows its EXIF and ICC data.
HEAD = 1 << 20

# All signatures of file formats are in the first bytes. More would let a header of many brands or
# frames cost more.
SIGNATURE = 2560
# An image that needs more reads than this to find its size has a header that no encoder writes.
MAX_READS = 500
MAX_READ_BYTES = 2 * HEAD
# The boxes with the sizes of images in one HEIC or AVIF file.
MAX_SIZES = 1000

KINDS = {"image": Kind.IMAGE, "video": Kind.VIDEO, "audio": Kind.AUDIO}

# The text up to the root element of an SVG. The quantifiers are possessive: backtracking over many
# comments would take exponential time.
SVG = re.compile(rb"(?:<\?xml[^>]*+>|(?><!--.*?-->)|<!DOCTYPE svg[^>]*+>|\s)*+<svg[\s>]", re.DOTALL)

# Alternative names of content types that callers and libraries use.
ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/heif": "image/heic",
    "image/x-icon": "image/vnd.microsoft.icon",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/x-aac": "audio/aac",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "text/rtf": "application/rtf",
    "video/x-m4v": "video/mp4",
    "video/x-msvideo": "video/vnd.avi",
    "video/avi": "video/vnd.avi",
    "video/mov": "video/quicktime",
}


def normalize(content_type: str) -> str:
    """Returns the lower-case name of a type without aliases and parameters."""
    name = content_type.partition(";")[0].strip().lower()
    return ALIASES.get(name, name)


def detect(head: bytes) -> str:
    """Returns the content type of a file that begins with `head`, or "application/octet-stream" if
    it is unknown."""
    if guess := filetype.guess(head[:SIGNATURE]):
        name = normalize(guess.mime)
        return office.detect(head) if name == office.ZIP or name in PART_PREFIXES else name
    if len(head) > 4 * 188 and all(head[i] == 0x47 for i in range(0, 4 * 188, 188)):
        return "video/mp2t"
    text = head[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if SVG.match(text):
        return "image/svg+xml"
    return "application/octet-stream"


def kind_of(content_type: str) -> Kind:
    return KINDS.get(content_type.partition("/")[0], Kind.DOCUMENT)


def matches(content_type: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns, such as "image/*", covers the type."""
    area = content_type.partition("/")[0] + "/*"
    return content_type in patterns or area in patterns


def pixels(head: bytes, content_type: str) -> int:
    """Returns the number of pixels in the header, or 0 if the header cannot be read."""
    if content_type in {"image/heic", "image/avif"}:
        return isobmff_pixels(head)
    if content_type == "image/gif":  # imagesize reads sides above 32767 as negative
        width, height = struct.unpack("<HH", head[6:10].ljust(4, b"\0"))
        return int(width * height)
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
