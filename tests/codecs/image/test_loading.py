"""Operations get every image upright and in sRGB."""

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageCms
import pillow_jxl  # noqa: F401 - adds JPEG XL to Pillow
import pytest
import pyvips

from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspector import Inspector
from media_service.codecs.limits import IMAGE_LIMITS
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.sandbox.forks import ForkServer
from tests.support.media.format_files import heic
from tests.support.media.icc_profiles import matrix
from tests.support.media.images import corners, four, look, render
from tests.support.media.videos import ffmpeg

# How an upright image is stored for each EXIF orientation.
STORED = {
    1: lambda image: image,
    2: lambda image: image.fliphor(),
    3: lambda image: image.rot180(),
    4: lambda image: image.flipver(),
    5: lambda image: image.rot90().fliphor(),
    6: lambda image: image.rot270(),
    7: lambda image: image.rot270().fliphor(),
    8: lambda image: image.rot90(),
}
WIDE_RED = (200, 60, 60)
PIPELINES = ["", "resize:40x", "resize:40x40:fit=COVER", "negate,negate,resize:x33", "rotate:360"]


@pytest.fixture(scope="module")
async def upright(
    renderer: ImageRenderer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What each of `PIPELINES` makes of an upright image."""
    corners(320, 240).write_to_file(str(path := tmp_path_factory.mktemp("upright") / "a.png"))
    return {pipeline: await look(renderer, path, pipeline) for pipeline in PIPELINES}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", ["jpg", "webp", "tiff"])
async def test_every_exif_orientation_is_rotated_upright(
    renderer: ImageRenderer,
    upright: dict[str, Any],
    tmp_path: Path,
    orientation: int,
    suffix: str,
) -> None:
    stored = STORED[orientation](corners(320, 240)).copy()
    stored.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    path = tmp_path / f"turned.{suffix}"
    stored.write_to_file(str(path))
    for pipeline, wanted in upright.items():
        image = await look(renderer, path, pipeline)
        assert four(image) == four(wanted), pipeline
        assert (image.width, image.height) == (wanted.width, wanted.height)


@pytest.mark.parametrize("orientation", [1, 6, 7])
async def test_a_jpeg_xl_made_from_a_jpeg_is_rotated_upright(
    inspector: Inspector, renderer: ImageRenderer, tmp_path: Path, orientation: int
) -> None:
    stored = STORED[orientation](corners(64, 48)).copy()
    stored.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    stored.write_to_file(str(tmp_path / "a.jpg"))
    path = tmp_path / "a.jxl"
    with PIL.Image.open(tmp_path / "a.jpg") as image:
        image.save(path, "JXL", lossless_jpeg=True)
    assert b"jbrd" in path.read_bytes()  # what restores the JPEG
    info = (await inspector.inspect(path, "IMAGE", "image/jxl")).info
    assert (info.width, info.height, info.orientation) == (64, 48, 1)
    assert await shown(renderer, path) == (64, 48, "rgbw")


async def test_the_orientation_of_a_jpeg_xl_is_not_applied_twice(
    inspector: Inspector, renderer: ImageRenderer, tmp_path: Path
) -> None:
    path = tmp_path / "a.jxl"
    path.write_bytes(turned_jpeg_xl(STORED[6](corners(64, 48)), 6))
    info = (await inspector.inspect(path, "IMAGE", "image/jxl")).info
    assert (info.width, info.height, info.orientation) == (64, 48, 1)
    assert await shown(renderer, path) == (64, 48, "rgbw")


P3 = "setparams=color_primaries=smpte432:color_trc=iec61966-2-1:colorspace=gbr:range=pc"


@pytest.mark.parametrize("distance", [0, 1])
@pytest.mark.parametrize(("profile", "options"), [(b"", ["-vf", P3]), (matrix(2.2), [])])
async def test_the_colors_of_a_jpeg_xl_are_those_of_its_profile(
    renderer: ImageRenderer, tmp_path: Path, distance: int, profile: bytes, options: list[str]
) -> None:
    """Both kinds: named primaries, here Display P3, and an ICC profile."""
    original, path = tmp_path / "a.png", tmp_path / "a.jxl"
    image = PIL.Image.new("RGB", (64, 48), WIDE_RED)
    image.save(original, icc_profile=profile)
    encoder = ["-c:v", "libjxl", "-distance", str(distance)]
    ffmpeg("-i", str(original), *options, "-frames:v", "1", *encoder, str(path))
    with PIL.Image.open(path) as decoded:  # by another binding of libjxl
        colors = PIL.ImageCms.ImageCmsProfile(io.BytesIO(decoded.info["icc_profile"]))
        srgb = PIL.ImageCms.createProfile("sRGB")
        intent = PIL.ImageCms.Intent.RELATIVE_COLORIMETRIC
        wanted = PIL.ImageCms.profileToProfile(decoded, colors, srgb, intent)
    assert wanted is not None
    expected = np.array(wanted.getpixel((30, 20)), int)
    assert abs(expected - WIDE_RED).max() > 10, "the profile must matter"
    made = await rendered(renderer, path)
    assert abs(np.array(made(30, 20), int) - expected).max() <= 2


def turned_jpeg_xl(stored: Any, orientation: int) -> bytes:
    """A JPEG XL with an orientation, in the code stream and in EXIF."""
    out = io.BytesIO()
    PIL.Image.fromarray(stored.numpy()).save(out, "JXL", use_container=False)
    data = out.getvalue()
    # A size of 14 bits and two flags: the metadata and the transform have their default values.
    assert (data[:2], data[2] & 1, data[3] >> 6) == (b"\xff\x0a", 1, 3)
    size = int.from_bytes(data[2:4], "little") & 0x3FFF
    # Not the default: an orientation, 8 bits per sample, small buffers, XYB and its defaults.
    fields = 0b10 | (orientation - 1) << 2 | 1 << 11 | 0b111 << 14 | 1 << 19
    code_stream = data[:2] + (size | fields << 14).to_bytes(5, "little") + data[4:]
    tags = PIL.Image.Exif()
    tags[PIL.ExifTags.Base.Orientation] = orientation
    exif = bytes(4) + tags.tobytes().removeprefix(b"Exif\0\0")
    boxes = (
        (b"JXL ", b"\r\n\x87\n"),
        (b"ftyp", b"jxl " + bytes(4) + b"jxl "),
        (b"Exif", exif),
        (b"jxlc", code_stream),
    )
    return b"".join(struct.pack(">I", 8 + len(data)) + kind + data for kind, data in boxes)


async def shown(renderer: ImageRenderer, path: Path) -> tuple[int, int, str]:
    """The size and the corners of the rendered JPEG XL of 64 × 48 pixels."""
    image = await rendered(renderer, path)
    return image.width, image.height, four(image)


async def rendered(renderer: ImageRenderer, path: Path) -> Any:
    source = ImageSource(path, "image/jxl", 64, 48, 1)
    async with renderer.render(source, stored_pipeline("convert:PNG")) as made:
        return pyvips.Image.new_from_buffer(made.path.read_bytes(), "").copy_memory()


def save(image: Any, path: Path, **options: Any) -> Path:
    image.write_to_file(str(path), **options)
    return path


@pytest.fixture(scope="module")
def color_spaces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    image, folder = corners(160, 120), tmp_path_factory.mktemp("colors")
    return [
        save(image.colourspace("cmyk"), folder / "cmyk.jpg"),
        save(image.colourspace("rgb16"), folder / "deep.png"),
        save(image.colourspace("lab"), folder / "lab.tiff"),
        save(image.icc_transform("p3", input_profile="srgb"), folder / "wide.png"),
        save(image, folder / "palette.png", palette=True),
        save(image, folder / "new.avif"),
        save(image, folder / "moving.gif"),
        save(image, folder / "small.webp"),
    ]


@pytest.mark.parametrize("pipeline", PIPELINES)
async def test_every_color_space_is_converted_to_srgb(
    renderer: ImageRenderer, color_spaces: list[Path], pipeline: str
) -> None:
    for file in color_spaces:
        made = await look(renderer, file, pipeline)
        # CMYK cannot reproduce so pure a green.
        assert four(made) == ("rybw" if file.stem == "cmyk" else "rgbw"), file.name
        assert (made.format, made.interpretation) == ("uchar", "srgb"), file.name


async def test_a_wide_profile_is_converted_and_not_kept(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    image = corners(160, 120).linear(0.5, 40).cast("uchar")
    path = save(image.icc_transform("p3", input_profile="srgb"), tmp_path / "wide.png")
    made = await look(renderer, path)
    assert made.get_typeof("icc-profile-data") == 0
    assert (made - image).abs().max() <= 3
    assert (pyvips.Image.new_from_file(str(path)) - image).abs().max() > 3


async def test_gray_becomes_three_bands_and_alpha_stays(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    gray = (pyvips.Image.black(50, 40) + 77).cast("uchar")
    made = await look(renderer, save(gray, tmp_path / "gray.png"))
    assert made(10, 10) == [77, 77, 77]
    clear = gray.bandjoin(128).copy(interpretation="b-w")
    made = await look(renderer, save(clear, tmp_path / "clear.png"), "resize:20x")
    assert made(10, 10) == [77, 77, 77, 128]
    deep = save(gray.colourspace("grey16"), tmp_path / "deep.png")
    assert (await look(renderer, deep))(10, 10) == [77, 77, 77]


async def test_scaling_down_leaves_no_dark_edge_around_transparency(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    """The invisible black of transparent pixels must not bleed into the white."""
    white = pyvips.Image.black(100, 100, bands=4).copy(interpretation="srgb")
    white = white.draw_rect([255, 255, 255, 255], 33, 33, 34, 34, fill=True)
    made = await look(renderer, save(white, tmp_path / "white.png"), "resize:30x")
    seen = (made[3] > 8).ifthenelse(made[0:3], 255)
    assert seen.min() >= 250


async def test_a_heic_image_is_rendered(renderer: ImageRenderer, tmp_path: Path) -> None:
    path = heic(tmp_path / "phone.heic")
    assert (await render(renderer, path))[0] == "image/jpeg"
    whole, small = await look(renderer, path), await look(renderer, path, "resize:64x")
    assert (whole.width, whole.height) == (128, 72)
    assert (small.width, small.height) == (64, 36)
    reference = whole.resize(0.5)
    assert (reference - small).abs().avg() < 3


async def test_a_tiff_with_pages_shows_the_first(renderer: ImageRenderer, tmp_path: Path) -> None:
    pages = pyvips.Image.arrayjoin([corners(), corners().invert()], across=1).copy()
    pages.set_type(pyvips.GValue.gint_type, "page-height", 60)
    path = save(pages, tmp_path / "scan.tiff")
    image = await look(renderer, path)
    assert (image.width, image.height, four(image)) == (80, 60, "rgbw")


def moving(path: Path, frames: int = 4) -> Path:
    """An animation whose frames differ everywhere and have increasing durations."""
    frames_in = [corners().linear(1 - 0.1 * number, 0).cast("uchar") for number in range(frames)]
    strip = pyvips.Image.arrayjoin(frames_in, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", 60)
    strip.set_type(pyvips.GValue.gint_type, "loop", 3)
    delays = [100 + 20 * number for number in range(frames)]
    strip.set_type(pyvips.GValue.array_int_type, "delay", delays)
    strip.write_to_file(str(path), **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


@pytest.mark.parametrize("orientation", STORED)
async def test_an_animation_is_rotated_upright(
    renderer: ImageRenderer, tmp_path: Path, orientation: int
) -> None:
    frames_in = [corners(), corners().linear(0.8, 0).cast("uchar")]
    stored = [STORED[orientation](frame) for frame in frames_in]
    strip = pyvips.Image.arrayjoin(stored, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", stored[0].height)
    strip.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    path = save(strip, tmp_path / "turned.webp", lossless=True)
    for pipeline, size in (("", (80, 60)), ("resize:40x", (40, 30))):
        _, data = await render(renderer, path, f"{pipeline},convert:WEBP:lossless".strip(","))
        made = pyvips.Image.new_from_buffer(data, "", n=-1)
        assert (made.width, made.get("page-height"), made.get("n-pages")) == (*size, 2)
        for number in range(2):
            assert four(made.crop(0, number * size[1], *size)) == "rgbw"


async def test_an_animation_is_decoded_in_memory_only(
    fork_server: ForkServer, tmp_path: Path
) -> None:
    """By default, libvips decodes more than 100 MB into a temporary file."""
    limits = replace(IMAGE_LIMITS, file_bytes=1 << 20)
    first, *others = [PIL.Image.new("L", (2000, 2000), 20 * n) for n in range(8)]
    first.save(path := tmp_path / "large.gif", save_all=True, append_images=others)
    async with ImageRenderer(fork_server, 1, 50_000_000, 1 << 30, limits=limits) as renderer:
        _, data = await render(renderer, path, "resize:20x,convert:GIF")
    assert pyvips.Image.new_from_buffer(data, "").get("n-pages") == 8


@pytest.mark.parametrize("suffix", ["gif", "webp"])
@pytest.mark.parametrize("target", ["GIF", "WEBP"])
@pytest.mark.parametrize(
    "pipeline",
    ["resize:40x", "flip", "crop:30x30:gravity=ATTENTION", "rotate:90,pad:3:background=000"],
)
async def test_an_animation_stays_animated_in_an_animated_format(
    renderer: ImageRenderer, tmp_path: Path, suffix: str, target: str, pipeline: str
) -> None:
    path = moving(tmp_path / f"moving.{suffix}")
    still = save(corners(), tmp_path / "still.png")
    _, data = await render(renderer, path, f"{pipeline},convert:{target}:lossless")
    made = pyvips.Image.new_from_buffer(data, "", n=-1)
    first = await look(renderer, still, pipeline)
    assert made.get("n-pages") == 4
    assert made.get("delay") == [100, 120, 140, 160]
    assert made.get("loop") == 3
    assert (made.width, made.get("page-height")) == (first.width, first.height)
    for number in range(4):
        frame = made.crop(0, number * first.height, first.width, first.height)[0:3]
        dimmed = first[0:3].linear(1 - 0.1 * number, 0)
        assert (frame - dimmed).abs().avg() < 6, number


async def test_a_still_format_gets_the_first_frame_of_an_animation(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    path = moving(tmp_path / "moving.gif")
    image = await look(renderer, path, "resize:40x")
    assert (image.width, image.height, four(image)) == (40, 30, "rgbw")


async def test_the_first_frame_decides_the_position_of_an_attention_crop(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    """The bright circle moves, and the crop does not follow it."""
    dark = (pyvips.Image.black(200, 50, bands=3) + 30).cast("uchar").copy(interpretation="srgb")
    frames = [dark.draw_circle([240, 160, 130], x, 25, 15, fill=True) for x in (170, 50, 30)]
    strip = pyvips.Image.arrayjoin(frames, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", 50)
    path = save(strip, tmp_path / "ball.webp", lossless=True)
    _, data = await render(
        renderer, path, "crop:50x50:gravity=ATTENTION,convert:WEBP:lossless=true"
    )
    made = pyvips.Image.new_from_buffer(data, "", n=-1)
    # The encoder merges identical frames.
    bright = [made[0].crop(0, 50 * n, 50, 50).max() > 200 for n in range(made.height // 50)]
    assert bright == [True, False]
