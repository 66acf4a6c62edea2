"""The filter functions of W3C Filter Effects Module Level 1, and layers of color, as steps."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

from media_service.codecs.image import geometry
from media_service.codecs.image.colors.blend import Mode, multiply, overlay, screen
from media_service.codecs.image.colors.steps import Color, Curve, Curves, Gradient, Matrix, Tone

# The luminance coefficients as `saturate` and `hue-rotate` round them.
LUMINANCE = (0.213, 0.715, 0.072)
GRAY = (0.2126, 0.7152, 0.0722)
SEPIA = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))
HUE_SINE = ((-0.213, -0.715, 0.928), (0.143, 0.140, -0.283), (-0.787, 0.715, 0.072))
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

Rows: TypeAlias = tuple[Color, Color, Color]

# Modes whose result is linear in the color of the layer.
LINEAR = (multiply, screen, overlay)


def all_channels(curve: Curve) -> Curves:
    return Curves((curve, curve, curve))


def brightness(factor: float) -> Curves:
    return all_channels(lambda value: value * factor)


def contrast(factor: float) -> Curves:
    return all_channels(lambda value: (value - 0.5) * factor + 0.5)


def gamma(exponent: float) -> Curves:
    return all_channels(lambda value: value ** (1 / exponent))


def negate() -> Curves:
    return all_channels(lambda value: 1 - value)


def mixed(one: Rows, other: Rows, amount: float) -> Matrix:
    """Interpolates from `one` (0) to `other` (1), and beyond."""
    red, green, blue = (
        tuple(a + (b - a) * amount for a, b in zip(row, another, strict=True))
        for row, another in zip(one, other, strict=True)
    )
    return Matrix((triple(red), triple(green), triple(blue)))


def triple(values: tuple[float, ...]) -> Color:
    first, second, third = values
    return first, second, third


def saturate(factor: float) -> Matrix:
    return mixed((LUMINANCE, LUMINANCE, LUMINANCE), IDENTITY, factor)


def grayscale(amount: float = 1) -> Matrix:
    return mixed(IDENTITY, (GRAY, GRAY, GRAY), amount)


def sepia(amount: float = 1) -> Matrix:
    return mixed(IDENTITY, SEPIA, amount)


def hue_rotate(degrees: float) -> Matrix:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    colorless = (LUMINANCE, LUMINANCE, LUMINANCE)
    rotated = mixed(colorless, IDENTITY, cosine).rows
    red, green, blue = (
        tuple(a + b * sine for a, b in zip(row, change, strict=True))
        for row, change in zip(rotated, HUE_SINE, strict=True)
    )
    return Matrix((triple(red), triple(green), triple(blue)))


def color(text: str) -> Color:
    """Parses red, green and blue."""
    red, green, blue, _ = geometry.color(text)
    return red / 255, green / 255, blue / 255


def layer(mode: Mode, text: str, opacity: float = 1) -> Curves:
    """Returns the curves of a layer of one color over the image."""
    return color_layer(mode, color(text), opacity)


def color_layer(mode: Mode, over: Color, opacity: float) -> Curves:
    red, green, blue = (blended(mode, channel, opacity) for channel in over)
    return Curves((red, green, blue))


def blended(mode: Mode, over: float, opacity: float) -> Curve:
    return lambda under: under + (min(1.0, max(0.0, mode(under, over))) - under) * opacity


# The position, color and opacity of a stop of a gradient.
Stop: TypeAlias = tuple[float, str, float]
Point: TypeAlias = tuple[float, Color, float]


def radial(
    mode: Mode, *stops: Stop, center: tuple[float, float] = (0.5, 0.5), opacity: float = 1
) -> Gradient:
    """A gradient over the image, from a center to the corner farthest from it."""
    return Gradient(stop_curves(mode, stops, opacity), center)


def downwards(mode: Mode, *stops: Stop, opacity: float = 1) -> Gradient:
    return Gradient(stop_curves(mode, stops, opacity), center=None)


def rightwards(mode: Mode, *stops: Stop, opacity: float = 1) -> Gradient:
    return Gradient(stop_curves(mode, stops, opacity), center=None, sideways=True)


def stop_curves(
    mode: Mode, stops: Sequence[Stop], opacity: float
) -> tuple[tuple[float, Curves], ...]:
    """The curves at each stop.

    Between stops, `graded` interpolates the resulting images, while browsers interpolate the colors
    of the layer. Both are the same if the mode is linear in them; otherwise stops are added.
    """
    points = [(position, color(text), alpha) for position, text, alpha in stops]
    if mode not in LINEAR and len({over for _, over, _ in points}) > 1:
        for _ in range(2):
            points = sorted([*points, *(halfway(*pair) for pair in pairwise(points))])
    return tuple(
        (position, color_layer(mode, over, alpha * opacity)) for position, over, alpha in points
    )


def halfway(one: Point, other: Point) -> Point:
    """Returns the point between two points. Colors are weighted by their opacity."""
    position, alpha = (one[0] + other[0]) / 2, (one[2] + other[2]) / 2
    weights = (one[2] / (2 * alpha), other[2] / (2 * alpha)) if alpha else (0.5, 0.5)
    red, green, blue = (
        a * weights[0] + b * weights[1] for a, b in zip(one[1], other[1], strict=True)
    )
    return position, (red, green, blue), alpha


def color_of(text: str, opacity: float = 1) -> Tone:
    """W3C's blend mode `color`."""
    return Tone(color(text), opacity)


def hue_of(text: str, opacity: float = 1) -> Tone:
    """W3C's blend mode `hue`."""
    return Tone(color(text), opacity, own_saturation=False)
