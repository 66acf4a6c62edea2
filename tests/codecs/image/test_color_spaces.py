"""Colors are those of two other decoders, for every color space: LittleCMS in Pillow, and libvips'
own conversion, both relative colorimetric with black point compensation."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageCms

from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspection import ImageInfo
from media_service.codecs.inspector import Inspector
from media_service.codecs.pipeline.pipeline import stored_pipeline
from tests.support.media import icc_profiles
from tests.support.media.icc_profiles import Triple
from tests.support.media.images import look

Pixels = NDArray[Any]

# The largest accepted mean difference, of 255.
MAX_DIFFERENCE = 2
SRGB = ImageCms.createProfile("sRGB")
CMYK = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb")
CMYK = CMYK.icc_transform("cmyk", input_profile="srgb").get("icc-profile-data")


def photo() -> Image.Image:
    """Blocks of random colors, and a gradient from black to white."""
    blocks = np.random.default_rng(1).integers(0, 256, (6, 10, 3), np.uint8)
    colors = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
    colors[:8] = np.linspace(0, 255, 80).astype(np.uint8)[None, :, None]
    return Image.fromarray(colors)


def separations() -> Image.Image:
    """Blocks of random inks, and each ink alone and with the others."""
    inks = np.random.default_rng(2).integers(0, 256, (6, 10, 4), np.uint8)
    for number in range(10):
        inks[0, number] = [255 * (number >> ink & 1) for ink in range(4)]
    inks[1, 0] = [0, 0, 0, 255]
    return Image.frombytes("CMYK", (80, 48), np.kron(inks, np.ones((8, 8, 1), np.uint8)).tobytes())


def washed_out(color: Triple) -> Triple:
    """The perceptual table of a printer: its black is gray."""
    red, green, blue = color
    return 25 + 70 * (red + green + blue) / 3, 60 * (red - green), 60 * (green - blue)


def colorimetric(color: Triple) -> Triple:
    red, green, blue = color
    return 12 + 88 * (red + green + blue) / 3, 75 * (red - green), 75 * (green - blue)


PROFILES = {
    "wide": icc_profiles.matrix(2.2),
    "dark": icc_profiles.matrix(1.8),
    "tables": icc_profiles.tables({0: washed_out, 1: colorimetric}),
    "gray": icc_profiles.gray(1.4),
    "cmyk": CMYK,
}


@dataclass(frozen=True)
class Case:
    """An image file. `profile` names its profile, which it need not contain."""

    suffix: str
    image: Callable[[], Image.Image]
    profile: str
    options: dict[str, Any]

    def save(self, path: Path) -> Path:
        profile = PROFILES[self.profile]
        self.image().save(path, icc_profile=profile, **self.options)
        return path


CASES = {
    "print": Case("jpg", separations, "cmyk", {"quality": 100}),
    "print without a profile": Case("jpg", separations, "cmyk", {"quality": 100}),
    "print, tiff": Case("tiff", separations, "cmyk", {}),
    "wide": Case("png", photo, "wide", {}),
    "wide, webp": Case("webp", photo, "wide", {"lossless": True}),
    "dark": Case("jpg", photo, "dark", {"quality": 100, "subsampling": 0}),
    "perceptual": Case("png", photo, "tables", {}),
    "gray": Case("png", lambda: photo().convert("L"), "gray", {}),
}


def with_pillow(image: Image.Image, profile: bytes) -> Pixels:
    converted = ImageCms.profileToProfile(
        image,
        io.BytesIO(profile),
        SRGB,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        "RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return np.asarray(converted, int)


def with_libvips(image: pyvips.Image) -> Pixels:
    options = {"embedded": True, "intent": "relative", "black_point_compensation": True}
    return np.asarray(image.icc_transform("srgb", **options).numpy(), int)


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one - other).mean())


@pytest.mark.parametrize("name", CASES)
async def test_colors_are_those_of_other_decoders(
    renderer: ImageRenderer, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    path = case.save(tmp_path / f"image.{case.suffix}")
    with Image.open(path) as image:
        image.load()
        pillow = with_pillow(image, PROFILES[case.profile])
    libvips = with_libvips(pyvips.Image.new_from_file(str(path)))
    if "without" in name:
        case.image().save(path, **case.options)
    made = (await look(renderer, path)).numpy().astype(int)
    assert difference(made, pillow) <= MAX_DIFFERENCE
    assert difference(made, libvips) <= MAX_DIFFERENCE


@pytest.mark.parametrize("form", ["lab", "labs", "8 bits"])
async def test_lab_colors_are_relative_to_the_white_of_profiles(
    renderer: ImageRenderer, inspector: Inspector, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "lab.tiff"
    if form == "8 bits":
        lab = ImageCms.createProfile("LAB")
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        converted = ImageCms.profileToProfile(photo(), SRGB, lab, intent, "LAB")
        assert converted
        converted.save(path)
    else:
        image = pyvips.Image.new_from_array(np.asarray(photo())).copy(interpretation="srgb")
        image.icc_import(input_profile="srgb").colourspace(form).write_to_file(str(path))
    info = (await inspector.inspect(path, "IMAGE", "image/tiff")).info
    assert isinstance(info, ImageInfo)
    assert info.color_space == "lab"
    source = ImageSource.of(path, "image/tiff", info)
    async with renderer.render(source, stored_pipeline("convert:PNG")) as rendered:
        made = pyvips.Image.new_from_file(str(rendered.path)).numpy().astype(int)
    assert difference(made, np.asarray(photo(), int)) <= MAX_DIFFERENCE


@pytest.mark.parametrize("name", ["deep.png", "float.tiff"])
async def test_deep_colors_with_a_profile_are_converted(
    renderer: ImageRenderer, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    image = pyvips.Image.new_from_array(np.asarray(photo()))
    deep = {
        "deep.png": (image * 257).cast("ushort").copy(interpretation="rgb16"),
        "float.tiff": (image / 255).copy(interpretation="scrgb"),
    }[name]
    deep.set_type(pyvips.GValue.blob_type, "icc-profile-data", PROFILES["wide"])
    deep.write_to_file(str(path))
    made = (await look(renderer, path)).numpy().astype(int)
    assert difference(made, with_pillow(photo(), PROFILES["wide"])) <= MAX_DIFFERENCE


async def test_printed_black_is_black_and_red_is_red(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    path = tmp_path / "inks.jpg"
    inks = Image.new("CMYK", (64, 32), (0, 0, 0, 255))
    inks.paste((0, 255, 255, 0), (32, 0, 64, 32))
    inks.save(path, quality=100)
    image = await look(renderer, path)
    assert max(image(16, 16)) < 24
    red, green, blue = image(48, 16)
    assert red > 220
    assert max(green, blue) < 24
