"""The file formats that pictures are written in."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """`alpha`: parts can be transparent. `side`: the longest that the format can tell. `quality`:
    what looks right, None where there is no choice."""

    name: str
    content_type: str
    alpha: bool
    animated: bool
    side: int
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
# What everybody shows, if nothing else is asked for.
COMMON = ("JPEG", "PNG")
EVERYWHERE = {"image/jpeg", "image/png", "image/apng", "image/gif", "image/webp", "image/avif"}


def like(content_type: str) -> Sequence[str]:
    """In which formats a picture that came as `content_type` goes out, best first."""
    own = [f.name for f in FORMATS.values() if f.content_type == content_type]
    return [*own, *COMMON] if content_type in EVERYWHERE else COMMON


def choose(names: Sequence[str], *, alpha: bool, animated: bool, side: int) -> Format:
    """The first that can hold the picture as it is, or else the first. `side`: its longer one."""
    formats = [FORMATS[name] for name in names]
    formats = [f for f in formats if f.side >= side] or formats
    fitting = [f for f in formats if f.alpha >= alpha and f.animated >= animated]
    fitting += [f for f in formats if f.alpha >= alpha]
    return (fitting or formats)[0]
