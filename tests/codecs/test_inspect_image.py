"""Inspection of images."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import pyvips
from PIL import Image

from media_service.codecs.inspect.exif import plain_value
from media_service.codecs.inspection import ImageInfo, Inspection, to_json
from media_service.codecs.inspector import Inspector
from media_service.errors import MediaError, Reason
from tests.support.media.format_files import animation, heic, make_image, with_tags

CAMERA = {
    "ifd0-Make": "Fujifilm",
    "ifd0-Model": "X100",
    "ifd2-ExposureTime": "1/60",
    "ifd3-GPSLatitude": "43/1 28/1 281/100",
    "ifd3-GPSLatitudeRef": "S",
    "ifd3-GPSLongitude": "11/1 53/1 645/100",
    "ifd3-GPSLongitudeRef": "E",
}


async def inspect(inspector: Inspector, path: Path, content_type: str) -> Inspection[ImageInfo]:
    return await inspector.inspect(path, "IMAGE", content_type)


async def refusal(inspector: Inspector, path: Path, content_type: str) -> Reason:
    with pytest.raises(MediaError) as error:
        await inspect(inspector, path, content_type)
    return error.value.reason


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    with_tags(make_image(), CAMERA, orientation=6).write_to_file(str(path))
    return path


async def test_a_jpeg_has_its_size_after_rotation(inspector: Inspector, photo: Path) -> None:
    found = await inspect(inspector, photo, "image/jpeg")
    assert found.info == ImageInfo(
        width=48, height=64, orientation=6, page_count=1, color_space="srgb"
    )


async def test_exif_has_plain_values(inspector: Inspector, photo: Path) -> None:
    found = await inspect(inspector, photo, "image/jpeg")
    exif = found.private_info.exif
    assert exif["Make"] == "Fujifilm"
    assert exif["Model"] == "X100"
    assert exif["ExposureTime"] == "1/60"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Canon (Canon, ASCII, 6 components, 6 bytes)", "Canon"),
        ("1/60 (1/60 sec., Rational, 1 components, 8 bytes)", "1/60"),
        ("9/5 (1.70 EV (f/1.8), Rational, 1 components, 8 bytes)", "9/5"),
        ("CS2 (Mac) (CS2 (Mac), ASCII, 10 components, 10 bytes)", "CS2 (Mac)"),
        ("[ ([, ASCII, 1 components, 1 bytes)", "["),
        (" (, ASCII, 1 components, 1 bytes)", ""),
        ("without a rendering", "without a rendering"),
    ],
)
def test_libexifs_rendering_is_left_out(text: str, value: str) -> None:
    assert plain_value(text) == value


async def test_the_gps_position_is_kept_apart_from_exif(inspector: Inspector, photo: Path) -> None:
    found = await inspect(inspector, photo, "image/jpeg")
    location = found.private_info.location
    assert location is not None
    assert location.latitude == pytest.approx(-43.467447, abs=1e-6)
    assert location.longitude == pytest.approx(11.885125, abs=1e-6)
    assert not [name for name in found.private_info.exif if "GPS" in name]


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_width_and_height_follow_the_exif_orientation(
    inspector: Inspector, tmp_path: Path, orientation: int
) -> None:
    path = tmp_path / "turned.jpg"
    with_tags(make_image(), {}, orientation).write_to_file(str(path))
    info = (await inspect(inspector, path, "image/jpeg")).info
    assert info.orientation == orientation
    assert (info.width, info.height) == ((48, 64) if orientation >= 5 else (64, 48))


async def test_exif_text_is_truncated_and_cleaned(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "wordy.jpg"
    with_tags(make_image(), {"ifd0-ImageDescription": "long " * 4000}).write_to_file(str(path))
    found = await inspect(inspector, path, "image/jpeg")
    assert len(found.private_info.exif["ImageDescription"]) == 1000
    assert "\\u0000" not in json.dumps(to_json(found.private_info))


async def test_the_alpha_channel_of_a_png_is_detected(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    make_image(bands=4).write_to_file(str(path))
    info = (await inspect(inspector, path, "image/png")).info
    assert info.has_alpha
    assert info.color_space == "srgb"


async def test_an_icc_profile_is_detected(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "profile.png"
    make_image().icc_transform("p3", input_profile="srgb").write_to_file(str(path))
    assert (await inspect(inspector, path, "image/png")).info.has_icc_profile


@pytest.mark.parametrize(("suffix", "content_type"), [("gif", "image/gif"), ("webp", "image/webp")])
async def test_an_animation_counts_its_frames(
    inspector: Inspector, tmp_path: Path, suffix: str, content_type: str
) -> None:
    path = animation(tmp_path / f"moving.{suffix}")
    info = (await inspect(inspector, path, content_type)).info
    assert (info.width, info.height, info.page_count) == (64, 48, 5)


async def test_the_color_space_of_a_cmyk_jpeg_is_detected(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = tmp_path / "print.jpg"
    make_image(bands=4).copy(interpretation="cmyk").write_to_file(str(path))
    info = (await inspect(inspector, path, "image/jpeg")).info
    assert info.color_space == "cmyk"
    assert not info.has_alpha


async def test_an_avif_image_is_inspected(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "new.avif"
    make_image().write_to_file(str(path), compression="av1")
    info = (await inspect(inspector, path, "image/avif")).info
    assert (info.width, info.height) == (64, 48)


async def test_a_heic_image_is_inspected(inspector: Inspector, tmp_path: Path) -> None:
    path = heic(tmp_path / "phone.heic")
    info = (await inspect(inspector, path, "image/heic")).info
    assert (info.width, info.height) == (128, 72)


async def test_a_heic_without_its_pixel_data_is_corrupt(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = heic(tmp_path / "phone.heic")
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))
    assert await refusal(inspector, path, "image/heic") is Reason.MEDIA_CORRUPT
    path.write_bytes(data[: start + 20])
    assert await refusal(inspector, path, "image/heic") is Reason.MEDIA_CORRUPT


async def test_a_heic_that_ends_within_a_box_is_corrupt(
    inspector: Inspector, tmp_path: Path
) -> None:
    """libheif shows missing tiles of an image in one color."""
    path = heic(tmp_path / "phone.heic")
    box = struct.pack(">I4s", 1000, b"mdat")
    path.write_bytes(path.read_bytes() + box + bytes(900))
    assert await refusal(inspector, path, "image/heic") is Reason.MEDIA_CORRUPT


async def test_a_tiff_has_the_size_of_its_first_page(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "scan.tiff"
    first, second = Image.new("RGB", (64, 48)), Image.new("L", (30, 20))
    first.save(path, save_all=True, append_images=[second] * 99)
    info = (await inspect(inspector, path, "image/tiff")).info
    assert (info.width, info.height, info.page_count) == (64, 48, 100)


@pytest.mark.parametrize(
    ("suffix", "content_type"),
    [
        ("jpg", "image/jpeg"),
        ("png", "image/png"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
        ("tiff", "image/tiff"),
        ("avif", "image/avif"),
    ],
)
async def test_a_truncated_image_is_corrupt(
    inspector: Inspector, tmp_path: Path, suffix: str, content_type: str
) -> None:
    path = tmp_path / f"cut.{suffix}"
    make_image(400, 300).write_to_file(str(path))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert await refusal(inspector, path, content_type) is Reason.MEDIA_CORRUPT


@pytest.mark.parametrize("share", [0.3, 0.99])
async def test_a_truncated_tiff_whose_directory_comes_first_is_corrupt(
    inspector: Inspector, tmp_path: Path, share: float
) -> None:
    """libvips shows the missing lines as black, unless it fails at every fault."""
    path = tmp_path / "cut.tiff"
    Image.effect_noise((400, 300), 50).save(path)
    data = path.read_bytes()
    assert struct.unpack_from("<I", data, 4) == (8,)
    path.write_bytes(data[: int(len(data) * share)])
    assert await refusal(inspector, path, "image/tiff") is Reason.MEDIA_CORRUPT


async def test_random_bytes_are_corrupt(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "noise.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + zlib.compress(bytes(range(256))) * 100)
    assert await refusal(inspector, path, "image/jpeg") is Reason.MEDIA_CORRUPT


async def test_bytes_of_another_type_are_not_decoded(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "really.png"
    make_image().write_to_file(str(path))
    assert await refusal(inspector, path, "image/jpeg") is Reason.MEDIA_CORRUPT


async def test_an_image_type_without_a_decoder_is_corrupt(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = tmp_path / "old.bmp"
    path.write_bytes(b"BM" + bytes(100))
    assert await refusal(inspector, path, "image/bmp") is Reason.MEDIA_CORRUPT


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header states a size that its data does not have."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunk += struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + chunk


async def test_a_decompression_bomb_is_refused_based_on_its_header(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(65536, 65536))
    assert await refusal(inspector, path, "image/png") is Reason.PIXEL_LIMIT_EXCEEDED


@pytest.mark.parametrize("suffix", ["gif", "webp", "tiff"])
async def test_the_pixel_limit_counts_one_frame_or_page(
    inspector: Inspector, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"long.{suffix}"
    strip = pyvips.Image.black(400, 400 * 7).copy()
    for frame in range(7):  # the encoder merges identical frames
        strip = strip.draw_rect([255], frame, 400 * frame, 10, 10, fill=True)
    strip.set_type(pyvips.GValue.gint_type, "page-height", 400)
    strip.write_to_file(str(path))
    info = (await inspect(inspector, path, f"image/{suffix}")).info
    assert (info.width, info.height, info.page_count) == (400, 400, 7)


async def test_pages_are_decoded_up_to_the_pixel_limit(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = tmp_path / "scan.tiff"
    first, large = Image.new("L", (900, 900)), Image.new("L", (2000, 2000))
    first.save(path, save_all=True, append_images=[first, large])
    info = (await inspect(inspector, path, "image/tiff")).info
    assert (info.width, info.height, info.page_count) == (900, 900, 3)
    large.save(path, save_all=True, append_images=[first])
    assert await refusal(inspector, path, "image/tiff") is Reason.PIXEL_LIMIT_EXCEEDED


def photo_of(size: int = 64, **options: Any) -> bytes:
    """A JPEG with a JPEG thumbnail in its EXIF tags, as cameras write."""
    out = io.BytesIO()
    Image.effect_noise((8, 8), 50).save(out, "JPEG")
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0" + out.getvalue()
    out = io.BytesIO()
    Image.effect_noise((size, size), 50).convert("RGB").save(out, "JPEG", exif=exif, **options)
    return out.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2])
async def test_a_jpeg_may_lack_its_end_marker(
    inspector: Inspector, tmp_path: Path, missing: int, progressive: bool
) -> None:
    data = photo_of(progressive=progressive)
    (path := tmp_path / "photo.jpg").write_bytes(data[:-missing])
    info = (await inspect(inspector, path, "image/jpeg")).info
    assert (info.width, info.warnings) == (64, ("END_MISSING",))
    path.write_bytes(data[:-3])
    assert await refusal(inspector, path, "image/jpeg") is Reason.MEDIA_CORRUPT


def gif_of(frames: int) -> bytes:
    out = io.BytesIO()
    first, *others = [Image.effect_noise((64, 64), 50).convert("P") for _ in range(frames)]
    first.save(out, "GIF", save_all=frames > 1, append_images=others)
    return out.getvalue()


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("missing", [1, 2])
async def test_a_gif_may_lack_the_marks_of_its_end(
    inspector: Inspector, tmp_path: Path, missing: int, frames: int
) -> None:
    data = gif_of(frames)
    (path := tmp_path / "a.gif").write_bytes(data)
    assert (await inspect(inspector, path, "image/gif")).info.warnings == ()
    path.write_bytes(data[:-missing])
    info = (await inspect(inspector, path, "image/gif")).info
    assert (info.width, info.page_count, info.warnings) == (64, frames, ("END_MISSING",))


async def test_a_truncated_animation_is_damaged(inspector: Inspector, tmp_path: Path) -> None:
    (path := tmp_path / "a.gif").write_bytes(gif_of(3)[:-100])
    assert (await inspect(inspector, path, "image/gif")).info.warnings == ("DATA_DAMAGED",)
    path.write_bytes(gif_of(1)[:-100])
    assert await refusal(inspector, path, "image/gif") is Reason.MEDIA_CORRUPT


async def test_a_png_may_lack_its_last_chunk(inspector: Inspector, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, "PNG")
    (path := tmp_path / "a.png").write_bytes(out.getvalue())
    assert (await inspect(inspector, path, "image/png")).info.warnings == ()
    path.write_bytes(out.getvalue()[:-12])
    assert (await inspect(inspector, path, "image/png")).info.warnings == ("END_MISSING",)
    path.write_bytes(out.getvalue()[:-24])
    assert await refusal(inspector, path, "image/png") is Reason.MEDIA_CORRUPT


async def test_data_behind_a_jpeg_is_no_fault(inspector: Inspector, tmp_path: Path) -> None:
    (path := tmp_path / "motion.jpg").write_bytes(photo_of() + b"\0\0\0\x18ftypmp42" * 99)
    assert (await inspect(inspector, path, "image/jpeg")).info.warnings == ()


async def test_damaged_data_of_a_jpeg_is_a_warning(inspector: Inspector, tmp_path: Path) -> None:
    data = photo_of()
    (path := tmp_path / "photo.jpg").write_bytes(data[:-50] + data[-2:])
    assert (await inspect(inspector, path, "image/jpeg")).info.warnings == ("DATA_DAMAGED",)
