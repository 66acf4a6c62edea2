"""Photoshop files of every mode and depth, and images of linear light."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_service.codecs.image.color_space import srgb
from media_service.codecs.image.linear_light import from_linear
from media_service.codecs.image.photoshop import decode
from media_service.codecs.inspector import Inspector
from media_service.errors import MediaError, Reason
from tests.support.media.accepted_files import photoshop

PALETTE = (768).to_bytes(4, "big") + bytes([0] * 255 + [220] + [0] * 255 + [30] + [0] * 255 + [40])


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize(
    ("mode", "depth", "values", "color"),
    [
        (0, 1, [0b11111111], (0, 0, 0)),
        (0, 1, [0], (255, 255, 255)),
        (1, 8, [90], (90, 90, 90)),
        (1, 16, [90 * 257], (90, 90, 90)),
        (1, 32, [0.2], (124, 124, 124)),
        (2, 8, [255], (220, 30, 40)),
        (3, 8, [220, 30, 40], (220, 30, 40)),
        (3, 16, [220 * 257, 30 * 257, 40 * 257], (220, 30, 40)),
        (3, 32, [0.2, 0, 0.2], (124, 0, 124)),
        (4, 8, [255, 255, 255, 0], (12, 0, 19)),
        (4, 16, [65535, 65535, 65535, 0], (12, 0, 19)),
        (7, 8, [90, 10], (90, 90, 90)),
        (8, 8, [90], (90, 90, 90)),
        (9, 8, [138, 208, 195], (253, 7, 10)),
        (9, 16, [138 * 257, 208 * 256, 195 * 256], (253, 7, 10)),
        # A fourth channel is a selection.
        (3, 8, [220, 30, 40, 0], (220, 30, 40)),
    ],
)
def test_the_flattened_image_is_shown(
    mode: int, depth: int, values: list[float], color: tuple[int, ...], large: bool, packed: bool
) -> None:
    before = PALETTE if mode == 2 else bytes(4)
    data = photoshop(mode, depth, values=values, before=before, large=large, packed=packed)
    shown = srgb(decode(io.BytesIO(data), 10_000))
    assert (shown.width, shown.height) == (64, 48)
    pixel = shown(63, 47)
    assert (pixel * 3 if len(pixel) == 1 else pixel) == pytest.approx(color, abs=6)


@pytest.mark.parametrize(("depth", "scale"), [(8, 1), (16, 257)])
def test_transparency_has_no_white_behind_it(depth: int, scale: int) -> None:
    """Half of a pixel of (200, 0, 100) before white."""
    values = [round(value * scale) for value in (227.5, 127.5, 177.5, 127.5)]
    shown = srgb(decode(io.BytesIO(photoshop(3, depth, values=values, layers=-1)), 10_000))
    assert shown(5, 5) == pytest.approx([200, 0, 100, 128], abs=3)


def without_image() -> bytes:
    data = photoshop(3)
    resource = b"8BIM" + (1057).to_bytes(2, "big") + bytes(2) + (5).to_bytes(4, "big") + bytes(6)
    return data[:30] + len(resource).to_bytes(4, "big") + resource + data[34:]


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (lambda: photoshop(3)[:-50], Reason.MEDIA_CORRUPT, "damaged"),
        (lambda: photoshop(3)[:40], Reason.MEDIA_CORRUPT, "damaged"),
        (lambda: photoshop(5), Reason.MEDIA_CORRUPT, "mode 5 with 8 bits"),
        (lambda: photoshop(4, 32, values=[0, 0, 0, 0]), Reason.MEDIA_CORRUPT, "with 32 bits"),
        (without_image, Reason.MEDIA_CORRUPT, "maximized compatibility"),
    ],
)
async def test_what_cannot_be_read_is_named(
    inspector: Inspector, tmp_path: Path, data: Callable[[], bytes], reason: Reason, words: str
) -> None:
    path = tmp_path / "a.psd"
    path.write_bytes(data())
    with pytest.raises(MediaError, match=words) as error:
        await inspector.inspect(path, "IMAGE", "image/vnd.adobe.photoshop")
    assert error.value.reason is reason


def light(*values: float) -> Any:
    image = from_linear(np.array([[[value] * 3 for value in values]], np.float32))
    return [srgb(image)(x, 0)[0] for x in range(len(values))]


def test_light_up_to_white_is_shown_as_it_is() -> None:
    assert light(0, 0.05, 0.2, 0.5, 1) == pytest.approx([0, 63, 124, 188, 255], abs=1)


def test_light_beyond_white_is_compressed_and_not_cut_off() -> None:
    found = light(0.2, 0.8, 1, 2, 4, float("inf"), float("nan"), -1)
    assert found[:2] == pytest.approx([124, 231], abs=1)
    assert found[1:6] == sorted(set(found[1:6]))
    assert found[5:] == [255, 0, 0]


def test_compressed_light_keeps_its_hue_and_premultiplied_alpha_its_color() -> None:
    image = from_linear(np.array([[[8, 4, 0], [16, 16, 16]]], np.float32))
    assert image(0, 0)[1] / image(0, 0)[0] == pytest.approx(0.5)
    image = from_linear(np.array([[[0.25, 0, 0, 0.5]]], np.float32), has_alpha=True)
    assert image(0, 0) == pytest.approx([0.5, 0, 0, 0.5])
