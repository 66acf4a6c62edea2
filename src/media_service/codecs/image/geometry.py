"""Sizes, positions and colors."""

from typing import Any, TypeAlias

import pyvips
from mediaservice.v1.operation_pb2 import Operation

Image: TypeAlias = pyvips.Image
Size: TypeAlias = tuple[int, int]

# The share of the free space to the left of, and above, an aligned area.
ALIGNMENTS: dict[int, tuple[float, float]] = {
    Operation.CENTER: (0.5, 0.5),
    Operation.NORTH: (0.5, 0.0),
    Operation.NORTH_EAST: (1.0, 0.0),
    Operation.EAST: (1.0, 0.5),
    Operation.SOUTH_EAST: (1.0, 1.0),
    Operation.SOUTH: (0.5, 1.0),
    Operation.SOUTH_WEST: (0.0, 1.0),
    Operation.WEST: (0.0, 0.5),
    Operation.NORTH_WEST: (0.0, 0.0),
}
WHITE = [255, 255, 255]
SMART_GRAVITIES: dict[int, str] = {Operation.ATTENTION: "attention", Operation.ENTROPY: "entropy"}


def color(text: str) -> list[int]:
    """Parses red, green, blue and alpha."""
    if len(text) == 3:
        text = "".join(2 * digit for digit in text)
    return list(bytes.fromhex(text.ljust(8, "f")))


def align(gravity: int, size: Size, area: Size) -> tuple[int, int]:
    """Returns the left and top of an area within a size. Here, ATTENTION and ENTROPY mean the
    center."""
    x, y = ALIGNMENTS.get(gravity, (0.5, 0.5))
    return round((size[0] - area[0]) * x), round((size[1] - area[1]) * y)


def center_on(focus: tuple[float, float], size: Size, area: Size) -> tuple[int, int]:
    """Returns the left and top of an area whose center is as close to a relative point as
    possible."""
    return (
        min(max(0, round(size[0] * focus[0] - area[0] / 2)), size[0] - area[0]),
        min(max(0, round(size[1] * focus[1] - area[1] / 2)), size[1] - area[1]),
    )


def with_alpha(image: Image) -> Image:
    return image if image.hasalpha() else image.addalpha()


def resized(image: Image, size: Size) -> Image:
    """Scales to exactly this size, without dark edges next to transparent areas."""
    width, height = size
    if (width, height) == (image.width, image.height):
        return image
    band_format = image.format
    alpha = image.hasalpha()
    if alpha:
        image = image.premultiply()
    image = image.resize(width / image.width, vscale=height / image.height)
    return image.unpremultiply().rint().cast(band_format) if alpha else image


def embed(image: Image, corner: tuple[int, int], size: Size, background: list[int]) -> Image:
    """Places the image on a larger background, with its top left corner at `corner`."""
    if background[3] < 255:
        image = with_alpha(image)
    return image.embed(*corner, *size, extend="background", background=background[: image.bands])


def over_background(premultiplied: Any, coverage: Any, background: list[int]) -> Image:
    """Draws a premultiplied image over a background, which is visible where `coverage` is below
    255."""
    alpha = background[3] / 255
    behind = [value * alpha for value in background[:3]] + [background[3]]
    image = (premultiplied + coverage.linear(-1 / 255, 1) * behind).copy(interpretation="srgb")
    return image.unpremultiply().rint().cast("uchar")
