"""Documents: what PDFs tell about themselves, and whether files are whole. Runs in a child."""

import os
from typing import Any

from media_service.codecs.inspect import office, pdf
from media_service.errors import InvalidArgument, Reason

# Readers look for the trailer in the last kibibyte.
TRAILER = 1024


def inspect(media: int, content_type: str) -> dict[str, Any]:
    """{"info": …, "private_info": {}} of the open file `media`; raises InvalidArgument
    (MEDIA_CORRUPT). Types that nothing is known of are as they are."""
    info: dict[str, Any] = {}
    if content_type == "application/pdf":
        check(b"%%EOF" in end(media))
        info = pdf.describe(media)
    elif content_type == "application/rtf":
        check(end(media).rstrip(b"\0\t\r\n ").endswith(b"}"))
    elif content_type in office.FOLDERS:
        office.check(media, content_type)
    return {"info": info, "private_info": {}}


def end(media: int) -> bytes:
    return os.pread(media, TRAILER, max(0, os.fstat(media).st_size - TRAILER))


def check(whole: bool) -> None:
    if not whole:
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, "The document is not whole: its end is missing."
        )
