"""Which format a client gets that asks for none, by its Accept header (RFC 9110, 12.5.1)."""

import re

from media_service.codecs.image.formats import FORMATS

# The smallest first. Who takes neither gets what everybody shows.
STILL = ("AVIF", "WEBP")
ANIMATED = ("WEBP",)
# A header is read so far: browsers send some hundred characters.
LONGEST = 4096
NOT_TAKEN = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|$)")


def negotiated(accept: str, side: int, *, animated: bool) -> str:
    """The name of a format that the client says it takes and that can hold a picture whose longer
    side is `side`; empty: none of those.

    Only by name: `image/*` and `*/*` are also said by those who show neither.
    """
    taken = set()
    for part in accept[:LONGEST].lower().split(","):
        media_type, _, parameters = part.strip().partition(";")
        if not NOT_TAKEN.search(f";{parameters}"):
            taken.add(media_type.strip())
    formats = [name for name in (ANIMATED if animated else STILL) if side <= FORMATS[name].max_side]
    return next((name for name in formats if f"image/{name.lower()}" in taken), "")
