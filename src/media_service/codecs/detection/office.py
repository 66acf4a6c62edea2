"""Detects the type of an office document, which is a ZIP file, by the names of its parts."""

import re
import struct
from collections.abc import Iterator
from itertools import islice

from media_service.codecs.detection.data import Data
from media_service.codecs.inspect.office import ODF, OOXML, PART_PREFIXES

ZIP = "application/zip"
# The header of a part. The name of the part follows its 30 bytes (APPNOTE, 4.3.7).
HEADER = b"PK\x03\x04"
HEADER_SIZE = 30
# The flag of a part whose size follows its data.
STREAMED = 0x0008
# Detection runs in the event loop and looks at this many parts, and bytes of a name. Documents have
# the part that determines the type among the first ten.
MAX_PARTS = 500
MAX_NAME = 256
# OpenDocument begins with an uncompressed part that has the type (1.3, part 2, 3.3).
MIMETYPE = re.compile(rb"mimetype(" + re.escape(ODF.encode()) + rb"[a-z]{1,64}+)(?=PK|$)")


def detect(head: Data) -> str:
    """Returns the content type of a ZIP file that begins with `head`. It is "application/zip" if
    the file is not an office document, or has macros."""
    if declared := MIMETYPE.match(head, HEADER_SIZE):
        name = declared[1].decode()
        return name if name in PART_PREFIXES else ZIP
    names = list(islice(parts(head), MAX_PARTS))
    if not {"[Content_Types].xml", "_rels/.rels"} & set(names):
        return ZIP
    folders = {folder: name for name, folder in PART_PREFIXES.items() if name.startswith(OOXML)}
    # The first match decides: the parts of an embedded document come later.
    for name in names:
        folder = name.partition("/")[0] + "/"
        if folder in folders:
            return ZIP if folder + "vbaProject.bin" in names else folders[folder]
    return ZIP


def parts(head: Data) -> Iterator[str]:
    """Yields the names of the parts. Skips the data of parts that declare their size."""
    at = 0
    while (at := head.find(HEADER, at)) >= 0 and len(head) >= at + HEADER_SIZE:
        (flags,) = struct.unpack_from("<H", head, at + 6)
        packed, _, name, extra = struct.unpack_from("<IIHH", head, at + 18)
        at += HEADER_SIZE
        yield head[at : at + min(name, MAX_NAME)].decode(errors="replace")
        at += name + extra + (0 if flags & STREAMED else packed)
