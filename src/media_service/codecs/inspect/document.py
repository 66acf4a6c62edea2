"""Inspects documents: reads the metadata of PDFs, and checks that files are complete. Runs in a
child process."""

import os
from typing import Any

from media_service.codecs.inspect import office, pdf
from media_service.codecs.inspection import DocumentInfo, Inspection, to_json
from media_service.errors import InvalidArgument, Reason

# PDF readers look for the trailer in the last kibibyte.
TRAILER_BYTES = 1024


def inspect(media: int, content_type: str) -> dict[str, Any]:
    """Returns an Inspection of the open file `media`, as JSON values. Files of unknown types
    are accepted unchecked. Raises InvalidArgument (MEDIA_CORRUPT)."""
    info = DocumentInfo()
    if content_type == "application/pdf":
        check_complete(b"%%EOF" in file_end(media))
        info = pdf.describe(media)
    elif content_type == "application/rtf":
        check_complete(file_end(media).rstrip(b"\0\t\r\n ").endswith(b"}"))
    elif content_type in office.PART_PREFIXES:
        office.check_parts(media, content_type)
    return to_json(Inspection(info=info, content_type=content_type))


def file_end(media: int) -> bytes:
    return os.pread(media, TRAILER_BYTES, max(0, os.fstat(media).st_size - TRAILER_BYTES))


def check_complete(complete: bool) -> None:
    if not complete:
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, "The document is truncated: its end is missing."
        )
