"""Color operations on single pixels.

Channels range from 0 to 1. Each step clips to that range, as browsers do.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyvips

Image: TypeAlias = pyvips.Image
Curve: TypeAlias = Callable[[float], float]
Color: TypeAlias = tuple[float, float, float]

# The luminosity coefficients of W3C Compositing and Blending.
LUMINOSITY = (0.3, 0.59, 0.11)


@dataclass(frozen=True, slots=True)
class Curves:
    """A function per channel."""

    channels: tuple[Curve, Curve, Curve]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Each channel as a weighted sum of all three."""

    rows: tuple[Color, Color, Color]


@dataclass(frozen=True, slots=True)
class Gradient:
    """Interpolates between curves along a radius, or from one side to the other.

    `stops`: positions and the curves there. Position 0 is the center, and 1 the corner farthest
    from it. Without a center, 0 is at the top, or with `sideways` at the left.
    """

    stops: tuple[tuple[float, Curves], ...]
    center: tuple[float, float] | None = (0.5, 0.5)
    sideways: bool = False


@dataclass(frozen=True, slots=True)
class Tone:
    """The hue and saturation of the layer at the luminosity of the image: W3C's `color`. Without
    `own_saturation`, also at the saturation of the image: W3C's `hue`."""

    color: Color
    opacity: float
    own_saturation: bool = True


Step: TypeAlias = Curves | Matrix | Gradient | Tone


def run(image: Image, steps: Iterable[Step], amount: float = 1) -> Image:
    """Applies the steps, and mixes the result with the original by `amount`. Keeps alpha."""
    if image.bands == 4:
        return run(image[0:3], steps, amount).bandjoin(image[3])
    return mix(image, apply(image, steps), amount)


def apply(image: Image, steps: Iterable[Step]) -> Image:
    # Consecutive curves become one lookup table.
    curves: list[Curves] = []
    for step in steps:
        match step:
            case Curves():
                curves.append(step)
                continue
            case Gradient():
                image = apply_gradient(image, step, curves)
            case Matrix(rows):
                image = to_bytes(apply_curves(image, curves).recomb([list(row) for row in rows]))
            case Tone():
                image = apply_tone(apply_curves(image, curves), step)
        curves = []
    return apply_curves(image, curves)


def to_bytes(image: Image) -> Image:
    return image.rint().cast("uchar")


def mix(before: Image, after: Image, amount: float) -> Image:
    if amount == 1:
        return after
    return to_bytes(before * (1 - amount) + after * amount)


def clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def apply_curves(image: Image, curves: Sequence[Curves]) -> Image:
    """Applies curves one after another, by one lookup table."""
    if not curves:
        return image
    table = bytearray()
    for level in range(256):
        for channel in range(3):
            value = level / 255
            for step in curves:
                value = clipped(step.channels[channel](value))
            table.append(int(value * 255 + 0.5))
    return image.maplut(pyvips.Image.new_from_memory(bytes(table), 256, 1, 3, "uchar"))


def apply_gradient(image: Image, gradient: Gradient, before: Sequence[Curves]) -> Image:
    (here, curves), *others = gradient.stops
    result = apply_curves(image, [*before, curves])
    distances = positions(image.width, image.height, gradient)
    for there, curves in others:
        # The weight of the stop before: 255 all, 0 nothing.
        scale = 255 / (there - here)
        weight = to_bytes(distances.linear(-scale, there * scale))
        result = weight.ifthenelse(result, apply_curves(image, [*before, curves]), blend=True)
        here = there
    return result


def positions(width: int, height: int, gradient: Gradient) -> Image:
    """The position of each pixel in a gradient."""
    pixels = pyvips.Image.xyz(width, height)
    if gradient.center is None:
        return pixels[0] / width if gradient.sideways else pixels[1] / height
    x, y = gradient.center[0] * width, gradient.center[1] * height
    radius = (max(x, width - x) ** 2 + max(y, height - y) ** 2) ** 0.5
    offsets = pixels.linear(1 / radius, [(0.5 - x) / radius, (0.5 - y) / radius])
    squares = offsets * offsets
    return (squares[0] + squares[1]) ** 0.5


def apply_tone(image: Image, tone: Tone) -> Image:
    """Applies the specification's SetLum in closed form: keeps the luminosity, and as much of the
    hue as fits the range."""
    luminosity = to_bytes(image.recomb([list(LUMINOSITY)]))
    hue = [channel - min(tone.color) for channel in tone.color]
    if not tone.own_saturation and max(hue) > 0:
        hue = [channel / max(hue) for channel in hue]
    gray = sum(part * channel for part, channel in zip(LUMINOSITY, hue, strict=True))
    offsets = [channel - gray for channel in hue]
    if tone.own_saturation:
        red, green, blue = (toward(offsets, part) for part in offsets)
        colors = apply_curves(luminosity.bandjoin([luminosity] * 2), [Curves((red, green, blue))])
    else:
        limits = [255 * within(level / 255, offsets) for level in range(256)]
        table = pyvips.Image.new_from_array([limits]).cast("float")
        strength = luminosity.maplut(table).minpair(saturation(image))
        colors = to_bytes(strength.linear(offsets, [0, 0, 0]) + luminosity)
    return mix(image, colors, tone.opacity)


def toward(offsets: Sequence[float], part: float) -> Curve:
    return lambda light: light + within(light, offsets) * part


def within(light: float, offsets: Sequence[float]) -> float:
    """Returns the largest factor by which `offsets` can be added to a gray within the range of each
    channel."""
    if max(offsets) == 0:
        return 1
    return min(1, light / -min(offsets), (1 - light) / max(offsets))


def saturation(image: Image) -> Image:
    red, green, blue = image.bandsplit()
    return red.maxpair(green).maxpair(blue) - red.minpair(green).minpair(blue)
