"""Inspects documents: reads the metadata of PDFs, and checks that files are complete. Runs in a
child process."""

import mmap
import os
import re
from typing import Any

from media_service.codecs.inspect import office, pdf
from media_service.codecs.inspect.pdf_end import END_BYTES, truncated
from media_service.codecs.inspection import DocumentInfo, FileWarning, Inspection, to_json

# Braces of RTF, and escaped characters.
BRACE = re.compile(rb"\\.|[{}]", re.DOTALL)


def inspect(media: int, content_type: str) -> dict[str, Any]:
    """Returns an Inspection of the open file `media`, as JSON values. Files of unknown types
    are accepted unchecked. Raises InvalidArgument (MEDIA_CORRUPT)."""
    info = DocumentInfo()
    if content_type == "application/pdf":
        info = pdf.describe(media)
    elif content_type == "application/rtf":
        info = DocumentInfo(warnings=rtf_warnings(media))
    elif content_type in office.PART_PREFIXES:
        office.check_parts(media, content_type)
    return to_json(Inspection(info=info, content_type=content_type))


def rtf_warnings(media: int) -> tuple[FileWarning, ...]:
    """Returns what is wrong with the end of an RTF. Raises InvalidArgument (MEDIA_CORRUPT) if it is
    truncated."""
    if not os.fstat(media).st_size:
        raise truncated()
    with mmap.mmap(media, 0, access=mmap.ACCESS_READ) as text:
        if text[-END_BYTES:].rstrip(b"\0\t\r\n ").endswith(b"}"):
            return ()
        depth = 0
        for token in BRACE.finditer(text):
            depth += {b"{": 1, b"}": -1}.get(token[0], 0)
            if depth == 0 and token[0] == b"}":
                return ("TRAILING_BYTES",)
    raise truncated()
