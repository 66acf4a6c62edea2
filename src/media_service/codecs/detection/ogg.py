"""Detects Ogg files, and whether they have a video track (RFC 3533)."""

from media_service.codecs.detection.data import Data

HEADER_BYTES = 27
FIRST_OF_TRACK = 0x02
# The beginnings of video tracks: Theora, Dirac, VP8, and OGM.
VIDEO = (b"\x80theora", b"BBCD\0", b"OVP80", b"\x01video")
MAX_TRACKS = 64


def detect(data: Data) -> str:
    if data[:4] != b"OggS":
        return ""
    at = 0
    # The first pages of all tracks precede all others.
    for _ in range(MAX_TRACKS):
        header = data[at : at + HEADER_BYTES]
        if len(header) < HEADER_BYTES or header[:4] != b"OggS" or not header[5] & FIRST_OF_TRACK:
            break
        start = at + HEADER_BYTES + header[26]
        if data[start : start + 8].startswith(VIDEO):
            return "video/ogg"
        at = start + sum(data[at + HEADER_BYTES : start])
    return "audio/ogg"
