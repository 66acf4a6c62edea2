"""What inspection may find a file to be, of the types that its first bytes do not tell apart.

A child may report only these types: a hostile file can take it over, and must not choose the type
that browsers get.
"""

import mmap
import os
from collections.abc import Mapping

from media_service.codecs.demuxers import AUDIO_TYPES, VIDEO_TYPES
from media_service.codecs.detection import detect
from media_service.codecs.image.readable import RAW

# The longest ID3 tag. A map of a larger part could exceed the memory limit of a child.
MAPPED_BYTES = 256 << 20
# Detection in the server's process sees the beginning of a file: not what follows a long tag.
BEHIND_TAGS = ("audio/aac", "audio/flac", "audio/wav", "audio/x-wavpack", "audio/ac3")
AGAIN: Mapping[str, Mapping[str, str]] = {
    "audio/mpeg": dict.fromkeys(BEHIND_TAGS, "AUDIO"),
    # The directory of a TIFF may be at its end.
    "image/tiff": dict.fromkeys(RAW, "IMAGE"),
}


def refinements(content_type: str) -> Mapping[str, str]:
    """Returns the types, with their kinds, that a file of `content_type` may turn out to be."""
    found = dict(AGAIN.get(content_type, {}))
    if audio := AUDIO_TYPES.get(content_type):
        found[audio] = "AUDIO"
    if video := VIDEO_TYPES.get(content_type):
        found[video] = "VIDEO"
    return found


def detect_again(media: int, content_type: str) -> str:
    """Detects the type of an open file from more of its bytes."""
    if content_type not in AGAIN:
        return content_type
    size = min(os.fstat(media).st_size, MAPPED_BYTES)
    with mmap.mmap(media, size, access=mmap.ACCESS_READ) as data:
        found = detect(data)
    return found if found in AGAIN[content_type] else content_type
