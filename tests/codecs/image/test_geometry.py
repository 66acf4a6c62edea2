"""Geometric operations: sizes and positions."""

import random
from pathlib import Path

import pytest
import pyvips

from media_service.codecs.image_renderer import ImageRenderer
from media_service.errors import Reason
from tests.support.long_form import examples
from tests.support.media.images import corners, four, look, refusal


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "corners.png"
    corners(80, 60).write_to_file(str(path))
    return path


@pytest.mark.parametrize(
    ("pipeline", "size"),
    [
        ("resize:40x", (40, 30)),
        ("resize:x30", (40, 30)),
        ("resize:40x40", (40, 30)),
        ("resize:40x40:fit=OUTSIDE", (53, 40)),
        ("resize:40x40:fit=COVER", (40, 40)),
        ("resize:40x40:fit=CONTAIN", (40, 40)),
        ("resize:40x50:fit=FILL", (40, 50)),
        ("resize:20x:dpr=2", (40, 30)),
        # Images are enlarged only on request. Boxes keep their proportions.
        ("resize:160x", (80, 60)),
        ("resize:160x:enlarge", (160, 120)),
        ("resize:120x120:fit=COVER", (60, 60)),
        ("resize:120x120:fit=COVER:enlarge", (120, 120)),
        ("resize:160x60:fit=FILL", (80, 30)),
        ("resize:120x120:fit=CONTAIN", (120, 120)),
        ("resize:1x1", (1, 1)),
        # Scaling during loading gives the same size as scaling afterwards.
        ("flip:BOTH,resize:40x40:fit=OUTSIDE", (53, 40)),
        ("crop:30x20", (30, 20)),
        ("crop:300x20", (80, 20)),
        ("crop:30x20:x=70:y=50", (10, 10)),
        ("crop:30x20:gravity=ATTENTION", (30, 20)),
        ("rotate:90", (60, 80)),
        ("rotate:-180", (80, 60)),
        ("rotate:360", (80, 60)),
        ("rotate:45", (99, 99)),
        ("pad:5", (90, 70)),
        ("pad:5:10", (100, 70)),
        ("pad:left=7", (87, 60)),
        ("pad:9:background=ff00ff,trim", (80, 60)),
        ("round_corners:10", (80, 60)),
    ],
)
async def test_the_size_after_each_operation(
    renderer: ImageRenderer, photo: Path, pipeline: str, size: tuple[int, int]
) -> None:
    image = await look(renderer, photo, pipeline)
    assert (image.width, image.height) == size


@pytest.mark.parametrize(
    ("pipeline", "colors"),
    [
        ("", "rgbw"),
        ("flip", "grwb"),
        ("flip:VERTICAL", "wbgr"),
        ("flip:BOTH", "bwrg"),
        ("rotate:90", "wrgb"),
        ("rotate:180", "bwrg"),
        ("rotate:-90", "gbwr"),
        ("rotate:45", "wwww"),
        ("rotate:45:background=000000", "kkkk"),
        ("rotate:45:background=00000000", "----"),
        ("crop:20x20:gravity=NORTH_WEST", "rrrr"),
        ("crop:20x20:gravity=SOUTH_EAST", "bbbb"),
        ("crop:20x20:x=0:y=40", "wwww"),
        ("crop:20x20:focal_x=1:focal_y=0", "gggg"),
        ("crop:40x20", "rgbw"),
        ("resize:20x60:fit=COVER:gravity=WEST", "rrww"),
        ("resize:20x60:fit=COVER:focal_x=0.9:focal_y=0.5", "ggbb"),
        ("resize:80x80:fit=CONTAIN:background=000000", "kkkk"),
        ("resize:80x80:fit=CONTAIN:background=000000:gravity=NORTH", "rgkk"),
        ("resize:80x80:fit=CONTAIN:background=00000000:gravity=SOUTH", "--bw"),
        ("pad:10:background=00f", "bbbb"),
        ("pad:10:0:0:background=00f", "bbbw"),
        ("pad:9:background=ff00ff80,trim", "rgbw"),
        ("round_corners:30", "----"),
        ("round_corners:30:background=00f", "bbbb"),
    ],
)
async def test_the_position_of_each_corner(
    renderer: ImageRenderer, photo: Path, pipeline: str, colors: str
) -> None:
    assert four(await look(renderer, photo, pipeline)) == colors


async def test_scaling_during_loading_gives_the_same_size_as_scaling_later(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    dice = random.Random(4)  # noqa: S311 (no secret)
    cases = [(1793, 3766, "resize:1387x:dpr=1.25")]
    for _ in range(examples(25, 60)):
        step = f"resize:{dice.randint(1, 400)}x"
        if dice.random() < 0.6:
            step += str(dice.randint(1, 400))
        step += f":fit={dice.choice(['INSIDE', 'OUTSIDE', 'COVER', 'CONTAIN', 'FILL'])}"
        step += f":dpr={dice.uniform(0.3, 2):.2f}{dice.choice(['', ':enlarge'])}"
        cases.append((dice.randint(1, 900), dice.randint(1, 900), step))
    path = tmp_path / "plain.jpg"
    for width, height, step in cases:
        pyvips.Image.black(width, height, bands=3).write_to_file(str(path))
        first = await look(renderer, path, step)
        later = await look(renderer, path, f"flip,flip,{step}")
        asked = f"{width}x{height} {step}"
        assert (first.width, first.height) == (later.width, later.height), asked


async def test_a_crop_outside_the_image_is_refused(renderer: ImageRenderer, photo: Path) -> None:
    reason = await refusal(renderer, photo, "crop:10x10:x=80:y=0")
    assert reason is Reason.OPERATION_NOT_APPLICABLE


async def test_trim_keeps_a_line_of_one_pixel(renderer: ImageRenderer, tmp_path: Path) -> None:
    for name, ground, line in (("opaque", [255] * 3, [0] * 3), ("clear", [0] * 4, [0, 0, 0, 255])):
        image = (pyvips.Image.black(80, 60, bands=len(ground)) + ground).cast("uchar")
        image = image.copy(interpretation="srgb").draw_line(line, 20, 15, 49, 15)
        image.draw_line(line, 20, 15, 20, 44).write_to_file(str(tmp_path / f"{name}.png"))
        made = await look(renderer, tmp_path / f"{name}.png", "trim")
        assert (made.width, made.height) == (30, 30), name


async def test_trim_keeps_an_image_that_is_only_border(
    renderer: ImageRenderer, photo: Path
) -> None:
    image = await look(renderer, photo, "crop:20x20:x=0:y=0,trim")
    assert (image.width, image.height) == (20, 20)


async def test_an_attention_crop_finds_the_salient_area(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    image = corners(400, 100).linear(0, 90).cast("uchar")
    for number in range(10):
        image = image.draw_circle([230, 150 + 5 * number, 120], 330, 50, 30 - 3 * number, fill=True)
    image.write_to_file(str(tmp_path / "face.png"))
    seen = await look(renderer, tmp_path / "face.png", "crop:100x100:gravity=ATTENTION")
    assert abs(seen(50, 50)[0] - 90) > 50
    middle = await look(renderer, tmp_path / "face.png", "crop:100x100")
    assert middle(50, 50) == [90, 90, 90]
