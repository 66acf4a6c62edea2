"""Limits of the metadata that is kept for one file: more than real files have, and small enough to
store with each."""

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
