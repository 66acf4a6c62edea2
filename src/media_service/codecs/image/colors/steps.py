"""What changes the colours of a picture pixel by pixel.

Colours are counted from 0 to 1. Between steps they are kept within that, as browsers do.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyvips

Image: TypeAlias = pyvips.Image
Curve: TypeAlias = Callable[[float], float]
Color: TypeAlias = tuple[float, float, float]

# What W3C Compositing and Blending takes for the luminosity of a colour.
LUMINOSITY = (0.3, 0.59, 0.11)


@dataclass(frozen=True, slots=True)
class Curves:
    """Each channel by itself."""

    channels: tuple[Curve, Curve, Curve]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Each channel as a sum of all three."""

    rows: tuple[Color, Color, Color]


@dataclass(frozen=True, slots=True)
class Gradient:
    """From one look to another: along a radius, or from one side to the other.

    A stop is what the picture is like there. A place is 0 at the centre and 1 at the corner that
    is farthest from it; without a centre, 0 is at the top, or at the left.
    """

    stops: tuple[tuple[float, Curves], ...]
    centre: tuple[float, float] | None = (0.5, 0.5)
    sideways: bool = False


@dataclass(frozen=True, slots=True)
class Tone:
    """A colour of the layer's hue at the picture's luminosity: W3C's `color`, or, with the
    saturation of the picture too, `hue`."""

    color: Color
    opacity: float
    own_saturation: bool = True


Step: TypeAlias = Curves | Matrix | Gradient | Tone


def run(image: Image, steps: Iterable[Step], amount: float = 1) -> Image:
    """The picture after these steps, mixed with the picture before them; alpha stays."""
    if image.bands == 4:
        return run(image[0:3], steps, amount).bandjoin(image[3])
    return mix(image, walk(image, steps), amount)


def walk(image: Image, steps: Iterable[Step]) -> Image:
    # Curves one after another are one table.
    curves: list[Curves] = []
    for step in steps:
        match step:
            case Curves():
                curves.append(step)
                continue
            case Gradient():
                image = graded(image, step, curves)
            case Matrix(rows):
                image = in_bytes(bent(image, curves).recomb([list(row) for row in rows]))
            case Tone():
                image = toned(bent(image, curves), step)
        curves = []
    return bent(image, curves)


def in_bytes(image: Image) -> Image:
    return image.rint().cast("uchar")


def mix(before: Image, after: Image, amount: float) -> Image:
    if amount == 1:
        return after
    return in_bytes(before * (1 - amount) + after * amount)


def clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def bent(image: Image, curves: Sequence[Curves]) -> Image:
    """The picture after curves."""
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


def graded(image: Image, gradient: Gradient, before: Sequence[Curves]) -> Image:
    (here, look), *others = gradient.stops
    result = bent(image, [*before, look])
    places = distances(image.width, image.height, gradient)
    for there, look in others:
        # How much of the nearer stop is left: 255 all, 0 nothing.
        part = 255 / (there - here)
        left = in_bytes(places.linear(-part, there * part))
        result = left.ifthenelse(result, bent(image, [*before, look]), blend=True)
        here = there
    return result


def distances(width: int, height: int, gradient: Gradient) -> Image:
    """The place of each pixel in a gradient."""
    pixels = pyvips.Image.xyz(width, height)
    if gradient.centre is None:
        return pixels[0] / width if gradient.sideways else pixels[1] / height
    x, y = gradient.centre[0] * width, gradient.centre[1] * height
    radius = (max(x, width - x) ** 2 + max(y, height - y) ** 2) ** 0.5
    offsets = pixels.linear(1 / radius, [(0.5 - x) / radius, (0.5 - y) / radius])
    squares = offsets * offsets
    return (squares[0] + squares[1]) ** 0.5


def toned(image: Image, tone: Tone) -> Image:
    """SetLum of the specification, solved: luminosity, and as much of the hue as is in range."""
    luminosity = in_bytes(image.recomb([list(LUMINOSITY)]))
    hue = [channel - min(tone.color) for channel in tone.color]
    if not tone.own_saturation and max(hue) > 0:
        hue = [channel / max(hue) for channel in hue]
    gray = sum(part * channel for part, channel in zip(LUMINOSITY, hue, strict=True))
    away = [channel - gray for channel in hue]
    if tone.own_saturation:
        red, green, blue = (toward(away, part) for part in away)
        colors = bent(luminosity.bandjoin([luminosity] * 2), [Curves((red, green, blue))])
    else:
        most = [255 * within(level / 255, away) for level in range(256)]
        table = pyvips.Image.new_from_array([most]).cast("float")
        strength = luminosity.maplut(table).minpair(saturation(image))
        colors = in_bytes(strength.linear(away, [0, 0, 0]) + luminosity)
    return mix(image, colors, tone.opacity)


def toward(away: Sequence[float], part: float) -> Curve:
    return lambda light: light + within(light, away) * part


def within(light: float, away: Sequence[float]) -> float:
    """How much of `away` can be added to a gray before a channel leaves its range."""
    if max(away) == 0:
        return 1
    return min(1, light / -min(away), (1 - light) / max(away))


def saturation(image: Image) -> Image:
    red, green, blue = image.bandsplit()
    return red.maxpair(green).maxpair(blue) - red.minpair(green).minpair(blue)
