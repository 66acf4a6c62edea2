"""Limits of the metadata that is kept for one file: more than real files have, and small enough to
store with each."""

import re

# Of EXIF, or of an audio file.
MAX_TAGS = 200
MAX_NAME = 100
MAX_VALUE = 1000

MAX_TRACKS = 100
MAX_CHAPTERS = 500
# Of a track or a chapter.
MAX_TITLE = 200
# The length that BCP 47 asks implementations to support.
MAX_LANGUAGE = 35

MAX_INT32 = 2**31 - 1
# Infinity and NaN are out of bounds.
MAX_NUMBER = 1e300

# PostgreSQL's jsonb stores neither NUL nor lone surrogates.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
STORABLE = "^[^\x00\ud800-\udfff]*\\Z"


def text(value: str, most: int = MAX_VALUE) -> str:
    """The text as it can be stored, at most `most` characters long."""
    return UNSTORABLE.sub("", value)[:most]


def count(value: int) -> int:
    """The number, within the bounds of the contract's int32 fields."""
    return min(max(0, value), MAX_INT32)
