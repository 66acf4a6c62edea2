"""Which office document a ZIP file is, by the names of its first parts."""

import re
import struct
from collections.abc import Iterator

from media_service.codecs.inspect.office import ODF, OOXML, PART_PREFIXES

ZIP = "application/zip"
# Every part has such a header, whose name stands behind its 30 bytes (APPNOTE, 4.3.7).
HEADER = b"PK\x03\x04"
HEADER_SIZE = 30
# Among its flags: how long the part is stands behind it.
STREAMED = 0x0008
# The first part, not compressed, for who looks at first bytes (OpenDocument 1.3, part 2, 3.3).
MIMETYPE = re.compile(rb"mimetype(" + re.escape(ODF.encode()) + rb"[a-z]+)(?=PK|$)")


def detect(head: bytes) -> str:
    """The content type of a ZIP file that begins with `head`; "application/zip" if it is another,
    or one with macros, which has a type of its own."""
    if declared := MIMETYPE.match(head, HEADER_SIZE):
        name = declared[1].decode()
        return name if name in PART_PREFIXES else ZIP
    names = list(parts(head))
    if not {"[Content_Types].xml", "_rels/.rels"} & set(names):
        return ZIP
    folders = {folder: name for name, folder in PART_PREFIXES.items() if name.startswith(OOXML)}
    # The first decides: what is embedded in it has parts of its own, and comes later.
    for name in names:
        folder = name.partition("/")[0] + "/"
        if folder in folders:
            return ZIP if folder + "vbaProject.bin" in names else folders[folder]
    return ZIP


def parts(head: bytes) -> Iterator[str]:
    """The names of the parts; what a part contains is passed over, if it says how long it is."""
    at = 0
    while (at := head.find(HEADER, at)) >= 0 and len(head) >= at + HEADER_SIZE:
        (flags,) = struct.unpack_from("<H", head, at + 6)
        packed, _, name, extra = struct.unpack_from("<IIHH", head, at + 18)
        at += HEADER_SIZE
        yield head[at : at + name].decode(errors="replace")
        at += name + extra + (0 if flags & STREAMED else packed)
