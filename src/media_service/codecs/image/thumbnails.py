"""Renders the thumbnails and placeholders that every image gets. Runs in a child process."""

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pyvips
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.blurhash import blurhash
from media_service.codecs.image.encode import Encoding, encode
from media_service.codecs.image.formats import FORMATS
from media_service.codecs.image.geometry import WHITE, Image, Size, resized
from media_service.codecs.image.libvips_errors import translate_errors
from media_service.codecs.image.load import load
from media_service.codecs.image.perceptual_hash import SIDE, perceptual_hashes
from media_service.codecs.pipeline.operation_fields import with_defaults

# The longest side of the image from which the placeholders are computed.
TINY = 32
WEBP = FORMATS["WEBP"]
ENCODING = Encoding(
    WEBP,
    WEBP.quality or 0,
    None,
    with_defaults(Operation(convert=Operation.Convert())).convert,
    False,
)
# Colors in the same interval of this width, in each channel, count as one.
COLOR_INTERVAL = 32


@translate_errors
def render_thumbnails(
    media: int, *outputs: int, content_type: str, sizes: Sequence[int], max_pixels: int
) -> dict[str, Any]:
    """Writes a WebP for each of `sizes`, which are longest sides, to the output at the same
    position. No thumbnail is larger than the image.
    Returns {"sizes": [[width, height], …], "blurhash": …, "dominant_color": …, "hashes": […]}.
    """
    pyvips.cache_set_max(0)
    largest = max([*sizes, SIDE])
    loaded = load(
        media, content_type, max_pixels, animated=False, scale=lambda size: within(size, largest)
    )
    image = loaded.frames[0].copy_memory()
    hashed = resized(image, within((image.width, image.height), SIDE))
    hashes = perceptual_hashes(hashed)
    written: dict[int, Size] = {}
    # Each is scaled from the next larger one.
    for side, output in sorted(zip(sizes, outputs, strict=True), reverse=True):
        image = resized(image, within((image.width, image.height), side)).copy_memory()
        written[output] = (image.width, image.height)
        with os.fdopen(os.dup(output), "wb") as file:
            file.write(encode(image, ENCODING))
    tiny = resized(image, within((image.width, image.height), TINY)).copy_memory()
    opaque = tiny.flatten(background=WHITE) if tiny.hasalpha() else tiny
    return {
        "sizes": [written[output] for output in outputs],
        "blurhash": blurhash(bytes(opaque.write_to_memory()), opaque.width, opaque.height),
        "dominant_color": dominant_color(tiny),
        "hashes": hashes,
    }


def within(size: Size, side: int) -> Size:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def dominant_color(image: Image) -> str:
    """Returns the average of the most frequent group of similar colors among visible pixels, as
    `rrggbb`."""
    data, bands = bytes(image.write_to_memory()), image.bands
    groups: defaultdict[tuple[int, ...], list[bytes]] = defaultdict(list)
    for start in range(0, len(data), bands):
        pixel = data[start : start + bands]
        if bands == 3 or pixel[3] >= 128:
            groups[tuple(value // COLOR_INTERVAL for value in pixel[:3])].append(pixel)
    if not groups:
        return "ffffff"
    largest = max(groups.values(), key=len)
    return "".join(f"{round(sum(p[n] for p in largest) / len(largest)):02x}" for n in range(3))
