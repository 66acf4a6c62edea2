"""Detects audio that is a sequence of frames: MP3, AAC, AC-3 and DTS, and what follows ID3 tags.

A sync word has only eleven bits, so the header of a frame must lead to further frames.
"""

import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TypeAlias

from media_service.codecs.detection import signatures
from media_service.codecs.detection.data import Data

# Returns the bytes of the frame at a position, or 0.
FrameSize: TypeAlias = Callable[[Data, int], int]

# Other bytes may precede the first frame. Then, more frames must follow.
SEARCHED_BYTES, MAX_CANDIDATES = 1024, 64
FRAMES, FRAMES_BEHIND = 3, 5
SYNC = re.compile(rb"\xff[\xe2-\xff]|\x0b\x77")
MAX_TAGS = 8
# Zeros may follow a tag.
PADDING = re.compile(rb"\0*+")
PADDING_BYTES = 1 << 16
ID3_HEADER = 10


def detect(data: Data) -> str:
    return at_frames(data, 0)


def at_frames(data: Data, start: int) -> str:
    """Returns the type of the frames that begin within a kibibyte from `start`."""
    end = start + SEARCHED_BYTES
    for sync in islice(SYNC.finditer(data, start, end), MAX_CANDIDATES):
        at = sync.start()
        wanted = FRAMES if at == start else FRAMES_BEHIND
        for name, size_of in FRAME_SIZES.items():
            if follow(data, at, size_of, wanted):
                return name
    return ""


def follow(data: Data, at: int, size_of: FrameSize, wanted: int) -> bool:
    """Whether frames follow each other, until there are `wanted`, or until the file ends."""
    for number in range(wanted):
        size = size_of(data, at)
        if not size:
            return at == len(data) if number == 1 else number > 1 and at >= len(data)
        at += size
    return True


def mpeg(data: Data, at: int) -> int:
    """MPEG-1, MPEG-2 and MPEG-2.5, layers I to III (ISO/IEC 11172-3, 13818-3)."""
    header = data[at : at + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_index, sample_index = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or rate_index in {0, 15} or sample_index == 3:
        return 0
    rate = MPEG_RATES[version == 3, layer][rate_index - 1] * 1000
    samples = MPEG_SAMPLE_RATES[sample_index] >> {3: 0, 2: 1, 0: 2}[version]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return (12 * rate // samples + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * rate // samples + padding


MPEG_SAMPLE_RATES = (44100, 48000, 32000)
# In kbit/s, by whether it is MPEG-1, and by layer.
MPEG_RATES = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def adts(data: Data, at: int) -> int:
    """AAC in ADTS frames (ISO/IEC 14496-3, 1.A.2.2)."""
    header = data[at : at + 7]
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return 0
    if header[2] >> 2 & 15 > 12:
        return 0
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return size if size >= 7 else 0


def ac3(data: Data, at: int) -> int:
    """AC-3 (ATSC A/52, 5.4.1)."""
    header = data[at : at + 6]
    if len(header) < 6 or header[:2] != b"\x0b\x77" or header[5] >> 3 > 10:
        return 0
    rate, code = header[4] >> 6, header[4] & 63
    if rate == 3 or code >= 2 * len(AC3_RATES):
        return 0
    kbps = AC3_RATES[code >> 1]
    words = (kbps * 2, kbps * 320 // 147 + (code & 1), kbps * 3)[rate]
    return words * 2


AC3_RATES = (
    *(32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640),
)


def eac3(data: Data, at: int) -> int:
    """Enhanced AC-3 (ATSC A/52, annex E)."""
    header = data[at : at + 6]
    if len(header) < 6 or header[:2] != b"\x0b\x77" or not 11 <= header[5] >> 3 <= 16:
        return 0
    return (((header[2] & 7) << 8 | header[3]) + 1) * 2


FRAME_SIZES: Mapping[str, FrameSize] = {
    "audio/mpeg": mpeg,
    "audio/aac": adts,
    "audio/ac3": ac3,
    "audio/eac3": eac3,
}


def behind_id3(data: Data) -> str:
    """Detects the audio behind ID3 tags. It is taken for MP3 if the tags extend beyond the known
    bytes, or if what follows them is unknown."""
    at = 0
    for _ in range(MAX_TAGS):
        if not (size := id3_size(data, at)):
            break
        at += size
    if not at:
        return ""
    if padding := PADDING.match(data, min(at, len(data)), min(at + PADDING_BYTES, len(data))):
        at = padding.end()
    head = data[at : at + signatures.BYTES]
    named = signatures.detect(head)
    return (named if named.startswith("audio/") else "") or at_frames(data, at) or "audio/mpeg"


def id3_size(data: Data, at: int) -> int:
    """Returns the size of an ID3v2 tag, or 0 (id3.org, ID3v2.4.0, 3.1)."""
    header = data[at : at + ID3_HEADER]
    if len(header) < ID3_HEADER or header[:3] != b"ID3" or header[3] not in {2, 3, 4}:
        return 0
    if header[5] & 0x0F or max(header[6:]) > 0x7F:
        return 0
    size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
    return ID3_HEADER + size + (ID3_HEADER if header[5] & 0x10 else 0)
