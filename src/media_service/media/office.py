"""Which office document a ZIP file is, by the names of its first parts."""

import re
import struct
from collections.abc import Iterator

from media_service.processing.inspect.office import FOLDERS, ODF, OOXML

ZIP = "application/zip"
# Every part has such a header, whose name stands behind its 30 bytes.
HEADER = b"PK\x03\x04"
HEADER_SIZE = 30
# The first part, not compressed, for who looks at first bytes (OpenDocument 1.3, part 2, 3.3).
MIMETYPE = re.compile(rb"mimetype(" + re.escape(ODF.encode()) + rb"[a-z]+)(?=PK|$)")


def detect(head: bytes) -> str:
    """The content type of a ZIP file that begins with `head`; "application/zip" if it is another,
    or one with macros, which has a type of its own."""
    if declared := MIMETYPE.match(head, HEADER_SIZE):
        name = declared[1].decode()
        return name if name in FOLDERS else ZIP
    names = list(parts(head))
    if not {"[Content_Types].xml", "_rels/.rels"} & set(names):
        return ZIP
    folders = {folder: name for name, folder in FOLDERS.items() if name.startswith(OOXML)}
    # The first decides: what is embedded in it has parts of its own, and comes later.
    for name in names:
        folder = name.partition("/")[0] + "/"
        if folder in folders:
            return ZIP if folder + "vbaProject.bin" in names else folders[folder]
    return ZIP


def parts(head: bytes) -> Iterator[str]:
    for found in re.finditer(re.escape(HEADER), head):
        header = head[found.start() : found.start() + HEADER_SIZE]
        if len(header) == HEADER_SIZE:
            (size,) = struct.unpack_from("<H", header, 26)
            start = found.start() + HEADER_SIZE
            yield head[start : start + size].decode(errors="replace")
