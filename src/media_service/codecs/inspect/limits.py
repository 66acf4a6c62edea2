"""Limits of the metadata that is stored for each file. They are above what real files have."""

import re

# The maximum number of EXIF tags, or of tags of an audio file.
MAX_TAGS = 200
MAX_NAME = 100
MAX_VALUE = 1000

MAX_TRACKS = 100
MAX_CHAPTERS = 500
# The maximum length of the title of a track or chapter.
MAX_TITLE = 200
# The length that BCP 47 requires implementations to support.
MAX_LANGUAGE = 35

MAX_INT32 = 2**31 - 1
# Infinity and NaN are out of bounds.
MAX_NUMBER = 1e300

# PostgreSQL's jsonb stores neither NUL nor lone surrogates.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
STORABLE = "^[^\x00\ud800-\udfff]*\\Z"


def text(value: str, most: int = MAX_VALUE) -> str:
    """Returns the text without characters that cannot be stored, truncated to `most` characters."""
    return UNSTORABLE.sub("", value)[:most]


def count(value: int) -> int:
    """Returns the number, limited to the range of the API's int32 fields."""
    return min(max(0, value), MAX_INT32)
