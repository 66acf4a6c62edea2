"""Examines how an image looks. Runs in a child process."""

import struct
from typing import Any

from media_service.codecs.ends import ImageLook
from media_service.codecs.image.libvips_errors import decoding
from media_service.codecs.image.loaders import ANIMATED, loader_of, open_page, value
from media_service.codecs.inspect.ends import DARK, NEARLY_BLACK
from media_service.codecs.inspection import to_json
from media_service.errors import Reason


@decoding(Reason.INSPECTION_LIMIT_EXCEEDED)
def look_at_image(media: int, content_type: str) -> dict[str, Any]:
    """Returns the ImageLook of the open file `media`, as JSON values. Decodes every pixel.

    Raises InvalidArgument (MEDIA_CORRUPT, INSPECTION_LIMIT_EXCEEDED).
    """
    loader = loader_of(content_type)
    image = open_page(media, loader, n=-1) if loader in ANIMATED else open_page(media, loader)
    frames = value(image, "n-pages", 1)
    milliseconds = value(image, "delay", [])[:frames]
    pixels = image.colourspace("b-w").extract_band(0).hist_find().write_to_memory()
    counts = struct.unpack(f"={len(pixels) // 4}I", pixels)
    total = sum(counts)
    return to_json(
        ImageLook(
            width=image.width,
            height=image.height // frames,
            black=sum(counts[:NEARLY_BLACK]) / total,
            dark=sum(counts[:DARK]) / total,
            brightness=sum(level * count for level, count in enumerate(counts)) / total,
            frames=frames,
            seconds=sum(milliseconds) / 1000,
        )
    )
