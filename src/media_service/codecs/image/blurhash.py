"""BlurHash (https://blurha.sh): the lowest frequencies of an image, as text."""

import math
from collections.abc import Sequence
from typing import TypeAlias

Color: TypeAlias = tuple[float, float, float]

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
# The number of components along the longer side. The shorter side has proportionally fewer.
MAX_COMPONENTS, MIN_COMPONENTS = 4, 2


def blurhash(pixels: bytes, width: int, height: int) -> str:
    """Computes the BlurHash of an image of a few hundred pixels. `pixels` has red, green and blue
    of each pixel, row by row."""
    across, down = components(width, height)
    linear = [LINEAR[value] for value in pixels]
    factors = [factor(linear, width, height, x, y) for y in range(down) for x in range(across)]
    average, *others = factors
    peak = max((abs(value) for color in others for value in color), default=0.0)
    scale = min(max(0, math.floor(peak * 166 - 0.5)), 82) if others else 0
    limit = (scale + 1) / 166
    return "".join(
        [
            digits(across - 1 + (down - 1) * 9, 1),
            digits(scale, 1),
            digits(sum(to_srgb(v) << s for v, s in zip(average, (16, 8, 0), strict=True)), 4),
            *(digits(quantized(color, limit), 2) for color in others),
        ]
    )


def components(width: int, height: int) -> tuple[int, int]:
    longer = max(width, height)
    across, down = (
        max(MIN_COMPONENTS, round(MAX_COMPONENTS * side / longer)) for side in (width, height)
    )
    return across, down


def factor(linear: Sequence[float], width: int, height: int, x: int, y: int) -> Color:
    """Returns the amplitude of one component."""
    columns = [math.cos(math.pi * x * (i + 0.5) / width) for i in range(width)]
    rows = [math.cos(math.pi * y * (j + 0.5) / height) for j in range(height)]
    weights = [row * column for row in rows for column in columns]
    scale = (1 if x == y == 0 else 2) / (width * height)
    red, green, blue = (
        scale * sum(w * v for w, v in zip(weights, linear[band::3], strict=True))
        for band in range(3)
    )
    return red, green, blue


def quantized(color: Color, limit: float) -> int:
    number = 0
    for value in color:
        part = math.copysign(math.sqrt(abs(value / limit)), value)
        number = number * 19 + min(max(0, math.floor(part * 9 + 9.5)), 18)
    return number


def digits(number: int, length: int) -> str:
    return "".join(DIGITS[number // 83**place % 83] for place in reversed(range(length)))


def to_linear(value: int) -> float:
    part = value / 255
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def to_srgb(linear: float) -> int:
    part = min(max(0.0, linear), 1.0)
    part = part * 12.92 if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055
    return round(part * 255)


LINEAR = [to_linear(value) for value in range(256)]
