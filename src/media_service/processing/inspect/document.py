"""Documents: whether the file is whole. Runs in a child."""

import os
from typing import Any

from media_service.errors import InvalidArgument, Reason

# Readers look for the trailer in the last kibibyte.
TRAILER = 1024


def inspect(media: int) -> dict[str, Any]:
    """{"info": {}, "private_info": {}} of a PDF; raises InvalidArgument (MEDIA_CORRUPT)."""
    size = os.fstat(media).st_size
    if b"%PDF-" not in os.pread(media, TRAILER, 0):
        raise InvalidArgument(Reason.MEDIA_CORRUPT, "The file is not a PDF document.")
    if b"%%EOF" not in os.pread(media, TRAILER, max(0, size - TRAILER)):
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, "The document is not whole: its end is missing."
        )
    return {"info": {}, "private_info": {}}
