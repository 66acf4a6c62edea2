"""The image formats that the service writes."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """An image format. `alpha` means that it supports transparency, and `animated` that it supports
    animation. `max_side` is the maximum length of a side in pixels. `quality` is the default
    quality, or None if the format has no quality."""

    name: str
    content_type: str
    alpha: bool
    animated: bool
    max_side: int
    quality: int | None


FORMATS = {
    known.name: known
    for known in (
        Format("JPEG", "image/jpeg", False, False, 65535, 80),
        Format("PNG", "image/png", True, False, 1 << 24, None),
        Format("WEBP", "image/webp", True, True, 16383, 80),
        Format("AVIF", "image/avif", True, False, 16384, 60),
        Format("GIF", "image/gif", True, True, 65535, None),
        Format("TIFF", "image/tiff", True, False, 1 << 24, None),
    )
}
# Formats that every client displays.
COMMON = ("JPEG", "PNG")
WEB_TYPES = {"image/jpeg", "image/png", "image/apng", "image/gif", "image/webp", "image/avif"}


def default_formats(content_type: str) -> Sequence[str]:
    """Returns the default formats for an original of `content_type`, best first."""
    own = [f.name for f in FORMATS.values() if f.content_type == content_type]
    return [*own, *COMMON] if content_type in WEB_TYPES else COMMON


def choose(names: Sequence[str], *, alpha: bool, animated: bool, side: int) -> Format:
    """Returns the first format that can represent the image unchanged, or the first one if none
    can. `side` is the longer side of the image."""
    formats = [FORMATS[name] for name in names]
    formats = [f for f in formats if f.max_side >= side] or formats
    fitting = [f for f in formats if f.alpha >= alpha and f.animated >= animated]
    fitting += [f for f in formats if f.alpha >= alpha]
    return (fitting or formats)[0]
