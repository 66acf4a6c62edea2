"""Sizes, places and colours."""

from typing import Any, TypeAlias

import pyvips
from mediaservice.v1.operation_pb2 import Operation

Image: TypeAlias = pyvips.Image
Size: TypeAlias = tuple[int, int]

# Of nine places in a whole: how much of the free room is left of, and above, what is placed.
PLACES: dict[int, tuple[float, float]] = {
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
CLEVER: dict[int, str] = {Operation.ATTENTION: "attention", Operation.ENTROPY: "entropy"}


def color(text: str) -> list[int]:
    """Red, green, blue and alpha."""
    if len(text) == 3:
        text = "".join(2 * digit for digit in text)
    return list(bytes.fromhex(text.ljust(8, "f")))


def place(gravity: int, whole: Size, part: Size) -> tuple[int, int]:
    """Left and top of a part within a whole. ATTENTION and ENTROPY are the middle here."""
    x, y = PLACES.get(gravity, (0.5, 0.5))
    return round((whole[0] - part[0]) * x), round((whole[1] - part[1]) * y)


def around(focus: tuple[float, float], whole: Size, part: Size) -> tuple[int, int]:
    """Left and top of a part whose middle is as near to a point as it can be."""
    return (
        min(max(0, round(whole[0] * focus[0] - part[0] / 2)), whole[0] - part[0]),
        min(max(0, round(whole[1] * focus[1] - part[1] / 2)), whole[1] - part[1]),
    )


def with_alpha(image: Image) -> Image:
    return image if image.hasalpha() else image.addalpha()


def resized(image: Image, size: Size) -> Image:
    """In exactly this size, without a dark edge where it becomes transparent."""
    width, height = size
    if (width, height) == (image.width, image.height):
        return image
    kind = image.format
    alpha = image.hasalpha()
    if alpha:
        image = image.premultiply()
    image = image.resize(width / image.width, vscale=height / image.height)
    return image.unpremultiply().rint().cast(kind) if alpha else image


def framed(image: Image, corner: tuple[int, int], size: Size, background: list[int]) -> Image:
    """On a larger ground, with its left and top edges there."""
    if background[3] < 255:
        image = with_alpha(image)
    return image.embed(*corner, *size, extend="background", background=background[: image.bands])


def mixed(picture: Any, cover: Any, background: list[int]) -> Image:
    """A premultiplied picture before a background, which is seen where `cover` is less than 255."""
    alpha = background[3] / 255
    behind = [value * alpha for value in background[:3]] + [background[3]]
    image = (picture + cover.linear(-1 / 255, 1) * behind).copy(interpretation="srgb")
    return image.unpremultiply().rint().cast("uchar")
