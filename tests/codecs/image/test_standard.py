"""Thumbnails and placeholders of images."""

import math
from pathlib import Path
from typing import Any

import pytest
import pyvips

from media_service.codecs.image.blurhash import DIGITS
from media_service.codecs.image_renderer import ImageRenderer
from tests.support.media.format_files import animation, heic
from tests.support.media.images import corners, source

SIZES = {"large": 100, "small": 20}


def decoded(text: str, width: int, height: int) -> Any:
    """Decodes a BlurHash as described at https://blurha.sh."""

    def number(piece: str) -> int:
        return sum(DIGITS.index(c) * 83**n for n, c in enumerate(reversed(piece)))

    def linear(value: int) -> float:
        part = value / 255
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    def signed(value: int) -> float:
        return math.copysign(((value - 9) / 9) ** 2, value - 9)

    across, down = number(text[0]) % 9 + 1, number(text[0]) // 9 + 1
    most = (number(text[1]) + 1) / 166
    average = number(text[2:6])
    colors = [[linear(average >> shift & 255) for shift in (16, 8, 0)]]
    for at in range(6, len(text), 2):
        value = number(text[at : at + 2])
        colors.append([signed(v) * most for v in (value // 361, value // 19 % 19, value % 19)])
    assert len(colors) == across * down
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            for band in range(3):
                sample = sum(
                    color[band]
                    * math.cos(math.pi * x * (n % across) / width)
                    * math.cos(math.pi * y * (n // across) / height)
                    for n, color in enumerate(colors)
                )
                light = min(max(0.0, sample), 1.0)
                part = light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
                pixels.append(round(part * 255))
    return pyvips.Image.new_from_memory(bytes(pixels), width, height, 3, "uchar")


def slow_gradient(width: int, height: int) -> Any:
    place = pyvips.Image.xyz(width, height)
    image = (place[0] * 255 / width).bandjoin(
        [place[1] * 255 / height, 255 - place[0] * 100 / width]
    )
    return image.cast("uchar").copy(interpretation="srgb")


@pytest.mark.parametrize(
    ("width", "height", "waves"), [(160, 90, (4, 2)), (90, 160, (2, 4)), (100, 100, (4, 4))]
)
async def test_a_blurhash_decodes_to_the_blurred_image(
    renderer: ImageRenderer, tmp_path: Path, width: int, height: int, waves: tuple[int, int]
) -> None:
    path = tmp_path / "photo.png"
    slow_gradient(width, height).write_to_file(str(path))
    async with renderer.render_thumbnails(source(path), SIZES) as made:
        text = made.blurhash
    assert DIGITS.index(text[0]) == waves[0] - 1 + 9 * (waves[1] - 1)
    shown = decoded(text, 32, 32)
    wanted = slow_gradient(width, height).thumbnail_image(32, height=32, size="force")
    assert (shown - wanted).abs().avg() < 12


@pytest.mark.parametrize(
    ("color", "expected"), [([255, 0, 0], "ff0000"), ([12, 200, 77], "0cc84d")]
)
async def test_the_dominant_color_is_the_most_frequent(
    renderer: ImageRenderer, tmp_path: Path, color: list[int], expected: str
) -> None:
    image = corners().draw_rect(color, 0, 0, 70, 50, fill=True)
    image.write_to_file(str(tmp_path / "photo.png"))
    async with renderer.render_thumbnails(source(tmp_path / "photo.png"), SIZES) as made:
        assert made.dominant_color == expected


async def test_the_dominant_color_ignores_transparent_pixels(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    image = pyvips.Image.black(100, 100, bands=4).copy(interpretation="srgb")
    image = image.draw_rect([0, 0, 255, 255], 40, 40, 20, 20, fill=True)
    image.write_to_file(str(tmp_path / "logo.png"))
    async with renderer.render_thumbnails(source(tmp_path / "logo.png"), SIZES) as made:
        assert made.dominant_color == "0000ff"
        thumbnail = pyvips.Image.webpload_buffer(made.thumbnails["small"].path.read_bytes())
        assert thumbnail(1, 1)[3] == 0


async def test_thumbnails_of_an_animation_and_of_a_heic_image(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    async with renderer.render_thumbnails(source(animation(tmp_path / "a.gif")), SIZES) as made:
        sizes = {name: (t.width, t.height) for name, t in made.thumbnails.items()}
        assert sizes == {"large": (64, 48), "small": (20, 15)}
        still = pyvips.Image.webpload_buffer(made.thumbnails["large"].path.read_bytes())
        assert not still.get_typeof("n-pages") or still.get("n-pages") == 1
    async with renderer.render_thumbnails(source(heic(tmp_path / "b.heic")), SIZES) as made:
        sizes = {name: (t.width, t.height) for name, t in made.thumbnails.items()}
        assert sizes == {"large": (100, 56), "small": (20, 11)}
