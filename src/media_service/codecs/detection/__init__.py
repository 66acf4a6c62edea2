"""Detects the content type of a file from its structure, as readers of each format do.

`data` is the beginning of a file in the server's process, or a whole file that a child has mapped
into memory. Detection reads only headers, in pure Python: a hostile header can at most cause a
wrong result. It runs in the event loop, so every detector has a limit on its steps and on the bytes
that it reads.
"""

from collections.abc import Sequence

import filetype

from media_service.codecs.detection import (
    audio_frames,
    isobmff,
    office,
    ogg,
    packets,
    signatures,
    svg,
    targa,
    tiff,
)
from media_service.codecs.detection.data import Data, Detector
from media_service.codecs.inspect.office import PART_PREFIXES

UNKNOWN = "application/octet-stream"
# The signatures of archives, programs and fonts are in the first bytes.
SIGNATURE_BYTES = 2560


def detect(data: Data) -> str:
    """Returns the content type of a file, or UNKNOWN."""
    for detector in DETECTORS:
        if found := detector(data):
            return found
    return UNKNOWN


def other_file(data: Data) -> str:
    """Detects archives, programs, fonts and office documents."""
    head = bytes(data[:SIGNATURE_BYTES])
    for match in OTHER_FILES:
        if guess := match(head):
            name = str(guess.mime)
            if name == "text/rtf":
                return "application/rtf"
            return office.detect(data) if name == office.ZIP or name in PART_PREFIXES else name
    return ""


OTHER_FILES = (
    filetype.archive_match,
    filetype.font_match,
    filetype.document_match,
    filetype.application_match,
)
# From the strongest evidence to the weakest.
DETECTORS: Sequence[Detector] = (
    signatures.detect,
    tiff.detect,
    isobmff.detect,
    ogg.detect,
    svg.detect,
    audio_frames.behind_id3,
    other_file,
    signatures.pdf_behind_other_bytes,
    packets.detect,
    audio_frames.detect,
    targa.detect,
)
