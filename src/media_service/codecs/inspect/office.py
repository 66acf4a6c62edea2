"""Office documents: whether the ZIP file is whole, and holds what its type promises."""

import os
import zipfile

from media_service.errors import InvalidArgument, Reason

OOXML = "application/vnd.openxmlformats-officedocument."
ODF = "application/vnd.oasis.opendocument."

# What the names of a type's parts begin with.
FOLDERS = {
    OOXML + "wordprocessingml.document": "word/",
    OOXML + "spreadsheetml.sheet": "xl/",
    OOXML + "presentationml.presentation": "ppt/",
    ODF + "text": "content.xml",
    ODF + "spreadsheet": "content.xml",
    ODF + "presentation": "content.xml",
}


def check(media: int, content_type: str) -> None:
    """Raises InvalidArgument (MEDIA_CORRUPT)."""
    try:
        with os.fdopen(os.dup(media), "rb") as file, zipfile.ZipFile(file) as parts:
            names = parts.namelist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, "The document is not whole: its table of contents is missing."
        ) from None
    if not any(name.startswith(FOLDERS[content_type]) for name in names):
        raise InvalidArgument(Reason.MEDIA_CORRUPT, "The document has no content.")
