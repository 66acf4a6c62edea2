"""Overlays and text: positions, sizes and blending."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray

from media_service.codecs.pipeline import operation_fields as fields
from media_service.errors import FailedPrecondition
from tests.support.media.goldens import apart
from tests.support.media.images import OVERLAY, Make

Plane = NDArray[Any]
BLENDS = fields.enum_names(
    fields.operations()["compose"].fields_by_name["blend"].enum_type  # type: ignore[arg-type]
)


def plain(width: int, height: int, *color: int) -> pyvips.Image:
    image = (pyvips.Image.black(width, height, bands=len(color)) + list(color)).cast("uchar")
    return image.copy(interpretation="srgb")


GROUND = plain(200, 100, 0, 0, 0)
WHITE = {OVERLAY: plain(40, 20, 255, 255, 255)}


def box(image: pyvips.Image, least: float = 127) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the area that is not black."""
    rows, columns = np.nonzero(image.numpy().max(axis=2) > least)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize(
    ("gravity", "left", "top"),
    [
        ("NORTH_WEST", 6, 6),
        ("NORTH", 80, 6),
        ("NORTH_EAST", 154, 6),
        ("WEST", 6, 40),
        ("CENTER", 80, 40),
        ("EAST", 154, 40),
        ("SOUTH_WEST", 6, 74),
        ("SOUTH", 80, 74),
        ("SOUTH_EAST", 154, 74),
    ],
)
async def test_gravity_and_margin_position_a_watermark(
    make: Make, gravity: str, left: int, top: int
) -> None:
    image = await make(f"watermark:{OVERLAY}:gravity={gravity}:margin=6", GROUND, WHITE)
    assert box(image) == (left, top, left + 40, top + 20)


@pytest.mark.parametrize(
    ("scale", "size"), [("0.5", (100, 50)), ("0.01", (2, 1)), ("1", (200, 100))]
)
async def test_the_width_of_a_watermark_is_relative_to_the_image(
    make: Make, scale: str, size: tuple[int, int]
) -> None:
    image = await make(f"watermark:{OVERLAY}:scale={scale}:margin=0", GROUND, WHITE)
    left, top, right, bottom = box(image)
    assert (right - left, bottom - top) == size


async def test_a_watermark_is_never_higher_than_the_image(make: Make) -> None:
    image = await make(
        f"watermark:{OVERLAY}:scale=1:margin=0", GROUND, {OVERLAY: plain(2, 900, 255, 255, 255)}
    )
    assert box(image)[1::2] == (0, 100)


async def test_opacity_scales_the_watermark(make: Make) -> None:
    image = await make(f"watermark:{OVERLAY}:opacity=0.25:margin=0", GROUND, WHITE)
    assert image(199, 99) == [64, 64, 64]
    assert apart(await make(f"watermark:{OVERLAY}:opacity=0", GROUND, WHITE), GROUND).max() == 0


async def test_tiles_cover_the_image(make: Make) -> None:
    image = await make(f"watermark:{OVERLAY}:tile:margin=10", GROUND, WHITE)
    lit = image.numpy()[..., 0] > 127
    assert lit[15].tolist() == [x >= 10 and (x - 10) % 50 < 40 for x in range(200)]
    assert lit[:, 15].tolist() == [y >= 10 and (y - 10) % 30 < 20 for y in range(100)]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("x=30:y=50", (30, 50, 70, 70)),
        ("x=-10:y=-5", (0, 0, 30, 15)),
        ("x=180:y=95", (180, 95, 200, 100)),
        ("width=80", (0, 0, 80, 40)),
        ("height=80", (0, 0, 160, 80)),
        ("width=15:height=90:x=5", (5, 0, 20, 90)),
    ],
)
async def test_compose_places_the_overlay_with_the_requested_size(
    make: Make, place: str, expected: tuple[int, int, int, int]
) -> None:
    assert box(await make(f"compose:{OVERLAY}:{place}", GROUND, WHITE)) == expected


@pytest.mark.parametrize("place", ["x=500", "x=-500", "y=65535", "y=-65535"])
async def test_an_overlay_outside_the_image_changes_nothing(make: Make, place: str) -> None:
    assert apart(await make(f"compose:{OVERLAY}:{place}", GROUND, WHITE), GROUND).max() == 0


async def test_an_overlay_above_the_maximum_side_is_refused(make: Make) -> None:
    with pytest.raises(FailedPrecondition, match="16384 × 1638400"):
        await make(f"compose:{OVERLAY}:width=16384", GROUND, {OVERLAY: plain(1, 100, 9, 9, 9)})


def soft_light(under: Plane, over: Plane) -> Plane:
    lit: Plane = np.where(under <= 0.25, ((16 * under - 12) * under + 4) * under, np.sqrt(under))
    dark: Plane = under - (1 - 2 * over) * under * (1 - under)
    return np.where(over <= 0.5, dark, under + (2 * over - 1) * (lit - under))


def hard_light(under: Plane, over: Plane) -> Plane:
    screened = under + (2 * over - 1) - under * (2 * over - 1)
    return np.where(over <= 0.5, under * 2 * over, screened)


def dodge(under: Plane, over: Plane) -> Plane:
    part = np.minimum(1, under / np.where(over == 1, 1, 1 - over))
    return np.where(under == 0, 0, np.where(over == 1, 1, part))


def burn(under: Plane, over: Plane) -> Plane:
    part = 1 - np.minimum(1, (1 - under) / np.where(over == 0, 1, over))
    return np.where(under == 1, 1, np.where(over == 0, 0, part))


# https://www.w3.org/TR/compositing-1/#blending
FORMULAS: dict[str, Callable[[Plane, Plane], Plane]] = {
    "OVER": lambda under, over: over,
    "MULTIPLY": lambda under, over: under * over,
    "SCREEN": lambda under, over: under + over - under * over,
    "OVERLAY": lambda under, over: hard_light(over, under),
    "DARKEN": np.minimum,
    "LIGHTEN": np.maximum,
    "COLOR_DODGE": dodge,
    "COLOR_BURN": burn,
    "HARD_LIGHT": hard_light,
    "SOFT_LIGHT": soft_light,
    "DIFFERENCE": lambda under, over: np.abs(under - over),
    "EXCLUSION": lambda under, over: under + over - 2 * under * over,
}


@pytest.mark.parametrize("alphas", [(255, 255), (255, 128), (180, 90)])
@pytest.mark.parametrize("blend", BLENDS)
async def test_blend_modes_are_those_of_the_w3c(
    make: Make, blend: str, alphas: tuple[int, int]
) -> None:
    ramp = pyvips.Image.identity()
    under = ramp.replicate(1, 256).bandjoin([ramp.replicate(1, 256)] * 2)
    over = under.rot90()
    image = under.bandjoin(alphas[0]).copy(interpretation="srgb")
    layer = over.bandjoin(alphas[1]).copy(interpretation="srgb")
    made = (await make(f"compose:{OVERLAY}:blend={blend}", image, {OVERLAY: layer})).numpy() / 255
    b, s = under.numpy() / 255, over.numpy() / 255
    ab, as_ = alphas[0] / 255, alphas[1] / 255
    alpha = ab + as_ - ab * as_
    mixed = (1 - ab) * s + ab * FORMULAS[blend](b, s)
    expected = ((1 - as_) * ab * b + as_ * mixed) / alpha
    difference = np.abs(made[..., :3] - expected) * 255
    assert np.abs(made[..., 3] - alpha).max() * 255 <= 1
    assert np.percentile(difference, 99.5) <= 2.5


async def test_only_letters_have_the_color_of_the_text(make: Make) -> None:
    image = await make("text:Hello:color=ff0000:size=0.3:margin=8", GROUND)
    assert image[0].max() == 255
    assert image[1].max() == image[2].max() == 0
    assert box(image)[2:] == pytest.approx((192, 92), abs=1)


@pytest.mark.parametrize(
    "text", ["<b>x</b>", "&amp;", "</span>", "<", "a & b", "~3Cspan size~3D'9'"]
)
async def test_markup_in_text_is_drawn_literally(make: Make, text: str) -> None:
    image = await make(f"text:{text}:size=0.2:gravity=CENTER", GROUND)
    left, _, right, _ = box(image)
    assert right - left > 5 * len(text.replace("~3C", "<").replace("~3D", "="))


async def test_the_line_height_is_relative_to_the_shorter_side(make: Make) -> None:
    def height(image: pyvips.Image) -> int:
        _, top, _, bottom = box(image)
        return bottom - top

    one = height(await make("text:H:size=0.2", GROUND))
    two = height(await make("text:H~0AH:size=0.2", GROUND))
    assert two - one == pytest.approx(20, abs=1)


@pytest.mark.parametrize(
    "text", ["word " * 99, "W" * 500, "one~0A" * 80, "x"], ids=["words", "a word", "lines", "x"]
)
@pytest.mark.parametrize("size", [(200, 100), (30, 300), (700, 12)])
async def test_text_that_is_too_large_is_shrunk_to_fit(
    make: Make, text: str, size: tuple[int, int]
) -> None:
    image = await make(f"text:{text}:size=1:margin=0:gravity=CENTER", plain(*size, 0, 0, 0))
    assert (image.width, image.height) == size
    assert image.max() > 20


@pytest.mark.parametrize("text", ["~20", "~0A~0A", "~E2~80~8B", "~C2~A0"])
async def test_blank_text_leaves_the_image_unchanged(make: Make, text: str) -> None:
    assert apart(await make(f"text:{text}", GROUND), GROUND).max() == 0


async def test_text_rotated_by_90_degrees_runs_downwards(make: Make) -> None:
    flat = box(await make("text:WIDE:size=0.2:gravity=CENTER", GROUND))
    turned = box(await make("text:WIDE:size=0.2:gravity=CENTER:degrees=90", GROUND))
    assert turned[3] - turned[1] == pytest.approx(flat[2] - flat[0], abs=2)
    assert turned[2] - turned[0] == pytest.approx(flat[3] - flat[1], abs=2)


async def test_the_font_has_greek_and_cyrillic_glyphs(make: Make) -> None:
    letters = ["ж", "Ω", "é", "W", "\ue000"]  # the last is a private-use character
    made = [await make(f"text:{letter}:size=0.5:gravity=CENTER", GROUND) for letter in letters]
    assert len({image.numpy().tobytes() for image in made}) == len(letters)
