"""Checks that an office document is a complete ZIP file with the parts of its type."""

import os
import zipfile

from media_service.errors import InvalidArgument, Reason

OOXML = "application/vnd.openxmlformats-officedocument."
ODF = "application/vnd.oasis.opendocument."

# The prefix of the names of the main parts of each type.
PART_PREFIXES = {
    OOXML + "wordprocessingml.document": "word/",
    OOXML + "spreadsheetml.sheet": "xl/",
    OOXML + "presentationml.presentation": "ppt/",
    ODF + "text": "content.xml",
    ODF + "spreadsheet": "content.xml",
    ODF + "presentation": "content.xml",
}


def check_parts(media: int, content_type: str) -> None:
    """Raises InvalidArgument (MEDIA_CORRUPT)."""
    try:
        with os.fdopen(os.dup(media), "rb") as file, zipfile.ZipFile(file) as parts:
            names = parts.namelist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, "The document is truncated: its ZIP directory is missing."
        ) from None
    if not any(name.startswith(PART_PREFIXES[content_type]) for name in names):
        raise InvalidArgument(Reason.MEDIA_CORRUPT, "The document has no content.")
