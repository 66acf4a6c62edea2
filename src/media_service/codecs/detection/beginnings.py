"""Which types a file can have of which only the first bytes have arrived."""

from collections.abc import Set as AbstractSet

from media_service.codecs.detection import (
    DETECTORS,
    audio_frames,
    isobmff,
    office,
    ogg,
    other_file,
    packets,
    signatures,
    svg,
    tiff,
)
from media_service.codecs.detection.data import Data, Detector
from media_service.codecs.inspect.office import PART_PREFIXES

# With fewer bytes, a detector may not have seen what it looks for.
LEAST_BYTES = 4096
# Those whose result depends on the first bytes. More bytes only tell apart the types of a family.
EARLY: AbstractSet[Detector] = {
    signatures.detect,
    tiff.detect,
    isobmff.detect,
    ogg.detect,
    svg.detect,
    audio_frames.behind_id3,
    other_file,
    signatures.pdf_behind_other_bytes,
    packets.detect,
}
FAMILIES: tuple[AbstractSet[str], ...] = (
    {tiff.TIFF, "image/x-adobe-dng", *tiff.MAKERS.values()},
    {isobmff.HEIC, isobmff.AVIF},
    {"audio/ogg", "video/ogg"},
    {office.ZIP, *PART_PREFIXES},
    {"application/gzip", svg.COMPRESSED},
)
SIGNED = {name for _, name in signatures.SIGNATURES} | {
    name for forms in signatures.FORMS.values() for name in forms.values()
}
BEHIND_TAGS = {name for name in SIGNED if name.startswith("audio/")} | set(audio_frames.FRAME_SIZES)


def possible_types(data: Data) -> tuple[str, ...]:
    """The types that a file can have that begins with `data`, the most likely one first. Empty:
    more bytes are needed."""
    if len(data) < LEAST_BYTES:
        return ()
    for detector in DETECTORS:
        if found := detector(data):
            if detector not in EARLY:
                return ()
            if detector is audio_frames.behind_id3:
                return (found, *sorted(BEHIND_TAGS))
            family = next((each for each in FAMILIES if found in each), ())
            return (found, *sorted(family))
    return ()
