"""What every picture gets when it arrives: smaller ones, and a few words on how it looks. Runs in a
child."""

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
from media_service.codecs.image.libvips_errors import told
from media_service.codecs.image.load import load
from media_service.codecs.pipeline.operation_fields import with_defaults

# The longest side of what is looked at.
TINY = 32
WEBP = FORMATS["WEBP"]
ENCODING = Encoding(
    WEBP,
    WEBP.quality or 0,
    None,
    with_defaults(Operation(convert=Operation.Convert())).convert,
    False,
)
# Colours that differ by less than this in each channel are counted as one.
SHADE = 32


@told
def standard(
    media: int, *outputs: int, content_type: str, sizes: Sequence[int], max_pixels: int
) -> dict[str, Any]:
    """Writes a WebP for each of `sizes`, its longest side, to the `outputs`, in their order; none
    is larger than the picture.

    Returns {"sizes": [[width, height], …], "blurhash": …, "dominant_color": …}.
    """
    pyvips.cache_set_max(0)
    largest = max([*sizes, TINY])
    picture = load(
        media, content_type, max_pixels, animated=False, scale=lambda size: within(size, largest)
    )
    image = picture.frames[0].copy_memory()
    made: dict[int, Size] = {}
    # Each from the one before: what is decoded once becomes smaller and smaller.
    for side, output in sorted(zip(sizes, outputs, strict=True), reverse=True):
        image = resized(image, within((image.width, image.height), side)).copy_memory()
        made[output] = (image.width, image.height)
        with os.fdopen(os.dup(output), "wb") as file:
            file.write(encode(image, ENCODING))
    tiny = resized(image, within((image.width, image.height), TINY)).copy_memory()
    seen = tiny.flatten(background=WHITE) if tiny.hasalpha() else tiny
    return {
        "sizes": [made[output] for output in outputs],
        "blurhash": blurhash(bytes(seen.write_to_memory()), seen.width, seen.height),
        "dominant_color": dominant_color(tiny),
    }


def within(size: Size, side: int) -> Size:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def dominant_color(image: Image) -> str:
    """The average of those colours, alike, that most of the picture has. What cannot be seen does
    not count."""
    data, bands = bytes(image.write_to_memory()), image.bands
    alike: defaultdict[tuple[int, ...], list[bytes]] = defaultdict(list)
    for start in range(0, len(data), bands):
        pixel = data[start : start + bands]
        if bands == 3 or pixel[3] >= 128:
            alike[tuple(value // SHADE for value in pixel[:3])].append(pixel)
    if not alike:
        return "#ffffff"
    most = max(alike.values(), key=len)
    return "#" + "".join(f"{round(sum(p[n] for p in most) / len(most)):02x}" for n in range(3))
