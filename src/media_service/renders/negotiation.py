"""Content negotiation: the image format for a request that names none (RFC 9110, 12.5.1)."""

import re

from media_service.codecs.image.formats import FORMATS

# In order of preference: the format with the smallest result first.
STILL = ("AVIF", "WEBP")
ANIMATED = ("WEBP",)
# Browsers send a few hundred characters. The rest of a longer header is ignored.
MAX_HEADER_LENGTH = 4096
REFUSED = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|$)")


def negotiate(accept: str, longer_side: int, *, animated: bool) -> str:
    """Returns the preferred format that the header names and that can represent the result, or an
    empty string.

    Wildcards are ignored: clients without support for AVIF or WebP also send `image/*` and `*/*`.
    """
    accepted = set()
    for entry in accept[:MAX_HEADER_LENGTH].lower().split(","):
        media_type, _, parameters = entry.strip().partition(";")
        if not REFUSED.search(f";{parameters}"):
            accepted.add(media_type.strip())
    preferred = ANIMATED if animated else STILL
    formats = [name for name in preferred if longer_side <= FORMATS[name].max_side]
    return next((name for name in formats if f"image/{name.lower()}" in accepted), "")
