"""Checks the end of a PDF. Readers open files without the last line, or with other bytes behind it,
but a truncated file has lost pages."""

import mmap
import os
import re

from media_service.codecs.inspection import FileWarning
from media_service.errors import InvalidArgument, Reason

END = b"%%EOF"
# Readers look for the end in the last kibibyte.
END_BYTES = 1024
# The length that a file prepared for display on the web ("linearized") has.
LENGTH = re.compile(rb"/Linearized\b[^>]{0,200}/L\s+(\d+)")
# A file may lack this many bytes: its last line.
LAST_LINE_BYTES = 16


def check_end(media: int) -> tuple[FileWarning, ...]:
    """Returns what is wrong with the end. Raises InvalidArgument (MEDIA_CORRUPT) if the file is
    shorter than its header says."""
    size = os.fstat(media).st_size
    length = LENGTH.search(os.pread(media, END_BYTES, 0))
    if length and int(length[1]) > size + LAST_LINE_BYTES:
        raise truncated()
    if END in os.pread(media, END_BYTES, max(0, size - END_BYTES)):
        return ()
    if not size:
        return ("END_MISSING",)
    with mmap.mmap(media, 0, access=mmap.ACCESS_READ) as data:
        end = data.rfind(END)
        # Objects behind the last end are an update, which has lost its own.
        return ("END_MISSING",) if data.find(b" obj", max(end, 0)) >= 0 else ("TRAILING_BYTES",)


def truncated() -> InvalidArgument:
    return InvalidArgument(Reason.MEDIA_CORRUPT, "The document is truncated: its end is missing.")
