"""A generated image: sky, skin, grass and colors, for the manual and for tests.

It is computed, so it is the same everywhere and free of copyright.
"""

import numpy as np
import pyvips
from numpy.typing import NDArray

Plane = NDArray[np.float64]
SUPERSAMPLED = 3


def scene(width: int, height: int) -> pyvips.Image:
    """Two people in front of hills at sunset, and a row of colored balls."""
    y, x = np.mgrid[0 : height * SUPERSAMPLED, 0 : width * SUPERSAMPLED] + 0.5
    x, y = x / (width * SUPERSAMPLED) * 1.5, y / (height * SUPERSAMPLED)  # 1.5 × 1
    image = sky(x, y)
    for low, rough, color in ((0.56, 5.0, (96, 112, 128)), (0.62, 8.0, (58, 88, 70))):
        ridge = low - 0.05 * np.sin(x * rough) - 0.03 * np.sin(x * rough * 2.3 + 1)
        image = paint(image, y > ridge, flat(x, color))
    image = paint(image, y > 0.66 + 0.015 * np.sin(x * 4), meadow(x, y))
    person(image, x, y, (0.42, 0.4), (224, 172, 140), (178, 34, 42), (70, 42, 24))
    person(image, x, y, (0.86, 0.44), (120, 76, 52), (32, 74, 160), (24, 20, 20))
    colors = [(214, 40, 40), (244, 190, 30), (52, 160, 72), (30, 120, 200), (150, 60, 170)]
    for place, color in enumerate([*colors, (235, 235, 235)]):
        ball(image, x, y, (0.2 + place * 0.22, 0.88), 0.075, color)
    small = image.reshape(height, SUPERSAMPLED, width, SUPERSAMPLED, 3).mean(axis=(1, 3))
    pixels = np.ascontiguousarray((small.clip(0, 1) * 255).round().astype(np.uint8))
    image = pyvips.Image.new_from_memory(pixels.tobytes(), width, height, 3, "uchar")
    return image.copy(interpretation="srgb")


def logo() -> pyvips.Image:
    """A mark with transparent parts, 160 × 90."""
    return pyvips.Image.svgload_buffer(
        b'<svg xmlns="http://www.w3.org/2000/svg" width="160" height="90">'
        b'<rect rx="24" width="160" height="90" fill="#f4f1ea" fill-opacity="0.85"/>'
        b'<circle cx="45" cy="45" r="28" fill="#d62828"/>'
        b'<path d="M95 70 L120 20 L145 70 Z" fill="#1e78c8"/></svg>'
    ).copy_memory()


def flat(x: Plane, color: tuple[int, int, int]) -> Plane:
    return np.broadcast_to(np.array(color) / 255, (*x.shape, 3))


def paint(image: Plane, where: NDArray[np.bool_], color: Plane) -> Plane:
    return np.where(where[..., None], color, image)


def sky(x: Plane, y: Plane) -> Plane:
    high, low = np.array([52, 112, 190]) / 255, np.array([250, 206, 160]) / 255
    part = (y / 0.65).clip(0, 1)[..., None] ** 1.4
    glow = np.exp(-((x - 1.25) ** 2 + (y - 0.42) ** 2) / 0.03)[..., None]
    clouds = (np.sin(x * 9 + 3 * np.sin(y * 14)) * np.sin(y * 37 + 2 * x)).clip(0.55, 1) - 0.55
    color = high * (1 - part) + low * part
    lit: Plane = color + glow * np.array([0.5, 0.42, 0.2]) + clouds[..., None] * 0.5
    return lit


def meadow(x: Plane, y: Plane) -> Plane:
    blades = np.sin(x * 210 + 9 * np.sin(y * 31)) * np.sin(y * 170 + 5 * np.sin(x * 23))
    light = 0.75 + 0.25 * blades + 0.25 * (y - 0.66)
    green: Plane = light[..., None] * np.array([98, 136, 56]) / 255
    return green


def person(
    image: Plane,
    x: Plane,
    y: Plane,
    face: tuple[float, float],
    skin: tuple[int, int, int],
    coat: tuple[int, int, int],
    hair: tuple[int, int, int],
) -> None:
    left, top = face
    folds = 0.82 + 0.18 * np.sin((x - left) * 60 + 3 * y)
    body = ((x - left) / 0.19) ** 2 + ((y - top - 0.38) / 0.3) ** 2 < 1
    image[:] = paint(image, body, flat(x, coat) * folds[..., None])
    ball(image, x, y, (left, top - 0.035), 0.118, hair)
    ball(image, x, y, (left, top), 0.1, skin)
    for side in (-0.035, 0.035):
        ball(image, x, y, (left + side, top - 0.01), 0.012, (40, 30, 30))


def ball(
    image: Plane,
    x: Plane,
    y: Plane,
    place: tuple[float, float],
    radius: float,
    color: tuple[int, int, int],
) -> None:
    across, down = (x - place[0]) / radius, (y - place[1]) / radius
    inside = across**2 + down**2 < 1
    height = np.sqrt((1 - across**2 - down**2).clip(0, 1))
    light = (0.35 + 0.65 * (0.45 * across - 0.5 * down + 0.74 * height)).clip(0.15, 1.1)
    shine = (0.45 * across - 0.5 * down + 0.74 * height).clip(0, 1) ** 40 * 0.4
    image[:] = paint(image, inside, flat(x, color) * light[..., None] + shine[..., None])
