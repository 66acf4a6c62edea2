"""How much is told of one file: more than honest files have, and little enough to store with it."""

# Of EXIF, or of a sound.
MAX_TAGS = 200
MAX_NAME = 100
MAX_VALUE = 1000

MAX_TRACKS = 100
MAX_CHAPTERS = 500
# Of a track or a chapter.
MAX_TITLE = 200
# BCP 47 asks for room for 35 characters.
MAX_LANGUAGE = 35
