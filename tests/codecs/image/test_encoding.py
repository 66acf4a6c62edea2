"""Encoding of rendered images: formats, options, metadata and compression."""

import io
from pathlib import Path
from typing import Any

import pytest
import pyvips
from PIL import ExifTags, Image

from media_service.codecs.image.ssim import Similarity
from media_service.codecs.image_renderer import ImageRenderer
from media_service.errors import Reason
from tests.support.media.format_files import with_tags
from tests.support.media.images import corners, refusal, render


def photo(width: int = 240, height: int = 200) -> Any:
    """An image with detail at every scale."""
    rough = pyvips.Image.perlin(width, height, cell_size=64, seed=1)
    fine = pyvips.Image.perlin(width, height, cell_size=8, seed=2)
    one = ((rough + fine * 0.3) * 100 + 128).cast("uchar")
    return one.bandjoin([one.rot180(), one.fliphor()]).copy(interpretation="srgb")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    tags = {
        "ifd0-Model": "X100",
        "ifd2-ExposureTime": "1/60",
        "ifd2-MakerNote": "secret",
        "ifd3-GPSLatitude": "43/1 28/1 281/100",
        "ifd3-GPSLatitudeRef": "S",
    }
    with_tags(photo(), tags, orientation=6).write_to_file(str(path), Q=95)
    # Pillow writes strings that libvips would misread as its own notation.
    with Image.open(path) as image:
        exif = image.getexif()
        exif[ExifTags.Base.Copyright] = "Jane (me)"
        exif[ExifTags.Base.Artist] = "Жанна é".encode()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 65535
        image.save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize(
    ("name", "content_type", "loader"),
    [
        ("JPEG", "image/jpeg", "jpegload"),
        ("PNG", "image/png", "pngload"),
        ("WEBP", "image/webp", "webpload"),
        ("AVIF", "image/avif", "heifload"),
        ("GIF", "image/gif", "gifload"),
        ("TIFF", "image/tiff", "tiffload"),
    ],
)
async def test_every_format_is_written(
    renderer: ImageRenderer, path: Path, name: str, content_type: str, loader: str
) -> None:
    found_type, data = await render(renderer, path, f"resize:100x,convert:{name}")
    image = pyvips.Image.new_from_buffer(data, "")
    assert found_type == content_type
    assert image.get("vips-loader").startswith(loader)
    assert (image.width, image.height) == (100, 120)


async def test_a_format_that_cannot_be_written_is_an_error(
    renderer: ImageRenderer, path: Path
) -> None:
    assert await refusal(renderer, path, "convert:HEIC") is Reason.OPERATION_NOT_APPLICABLE


async def test_an_image_larger_than_its_format_allows_is_refused(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    (pyvips.Image.black(16384, 4)).write_to_file(str(tmp_path / "long.png"))
    reason = await refusal(renderer, tmp_path / "long.png", "convert:WEBP")
    assert reason is Reason.PROCESSING_LIMIT_EXCEEDED


async def test_options_reach_the_encoder(renderer: ImageRenderer, path: Path) -> None:
    async def size(pipeline: str) -> int:
        return len((await render(renderer, path, pipeline))[1])

    for name in ("JPEG", "WEBP", "AVIF"):
        assert await size(f"convert:{name}:quality=30") < await size(f"convert:{name}:quality=90")
        best = f"convert:{name}:quality=90"
        assert await size(f"{best},compress:30") == await size(f"convert:{name}:quality=30")
    assert await size("convert:PNG:effort=0") > await size("convert:PNG:effort=9")
    full = pyvips.Image.jpegload_buffer(
        (await render(renderer, path, "convert:JPEG:chroma=FULL:progressive"))[1]
    )
    assert (full.get("jpeg-chroma-subsample"), full.get("interlaced")) == ("4:4:4", 1)
    half = pyvips.Image.jpegload_buffer((await render(renderer, path, "convert:JPEG"))[1])
    assert (half.get("jpeg-chroma-subsample"), half.get_typeof("interlaced")) == ("4:2:0", 0)


async def test_lossless_formats_keep_every_pixel(renderer: ImageRenderer, path: Path) -> None:
    exact = pyvips.Image.new_from_buffer((await render(renderer, path, "convert:PNG"))[1], "")
    for convert in ("WEBP:lossless", "AVIF:lossless", "TIFF"):
        _, data = await render(renderer, path, f"convert:{convert}")
        difference = (pyvips.Image.new_from_buffer(data, "")[0:3] - exact).abs().max()
        # AVIF stores colors as luminance and chroma, and rounds there.
        assert difference <= (3 if "AVIF" in convert else 0), convert


@pytest.mark.parametrize(
    ("pipeline", "deliver", "content_type"),
    [
        ("", (), "image/jpeg"),
        ("round_corners:20", (), "image/png"),
        ("", ("AVIF", "WEBP", "JPEG", "PNG", "GIF"), "image/avif"),
        ("", ("WEBP", "JPEG", "PNG", "GIF"), "image/webp"),
        ("", ("JPEG", "PNG", "GIF"), "image/jpeg"),
        ("round_corners:20", ("JPEG", "PNG", "GIF"), "image/png"),
        ("round_corners:20,convert:JPEG", ("WEBP",), "image/jpeg"),
        ("convert:quality=50", ("WEBP",), "image/webp"),
    ],
)
async def test_the_first_format_that_can_represent_the_image_is_used(
    renderer: ImageRenderer, path: Path, pipeline: str, deliver: tuple[str, ...], content_type: str
) -> None:
    assert (await render(renderer, path, pipeline, deliver))[0] == content_type


async def test_transparent_pixels_are_white_in_a_jpeg(
    renderer: ImageRenderer, tmp_path: Path
) -> None:
    pyvips.Image.black(40, 30, bands=4).copy(interpretation="srgb").write_to_file(
        str(tmp_path / "clear.png")
    )
    _, data = await render(renderer, tmp_path / "clear.png", "convert:JPEG")
    assert pyvips.Image.jpegload_buffer(data)(5, 5) == [255, 255, 255]


def tags(data: bytes) -> set[str]:
    image = pyvips.Image.new_from_buffer(data, "")
    return {f for f in image.get_fields() if f.startswith(("exif", "xmp", "iptc", "icc"))}


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF"])
async def test_metadata_is_stripped(renderer: ImageRenderer, path: Path, name: str) -> None:
    _, data = await render(renderer, path, f"convert:{name}")
    assert not tags(data)
    assert b"X100" not in data


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF"])
async def test_kept_metadata_has_no_location(
    renderer: ImageRenderer, path: Path, name: str
) -> None:
    _, data = await render(renderer, path, f"resize:50x,convert:{name},metadata:KEEP")
    image = pyvips.Image.new_from_buffer(data, "")
    assert image.get("exif-ifd0-Model").startswith("X100")
    assert image.get("exif-ifd0-Copyright").startswith("Jane (me)")
    assert image.get("exif-ifd2-ExposureTime").startswith("1/60")
    assert not [tag for tag in tags(data) if "GPS" in tag or "MakerNote" in tag]
    assert b"secret" not in data
    with Image.open(io.BytesIO(data)) as opened:
        exif = opened.getexif()
        assert exif[ExifTags.Base.Artist].encode("latin-1").decode() == "Жанна é"
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] == 1  # sRGB
        assert not exif.get_ifd(ExifTags.IFD.GPSInfo)
    # The image is upright, and its orientation tag agrees.
    assert not image.get_typeof("orientation") or image.get("orientation") == 1
    assert image.height > image.width


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "PNG", "GIF"])
@pytest.mark.parametrize("max_size_bytes", [8_000, 16_000])
async def test_compress_to_a_maximum_size(
    renderer: ImageRenderer, path: Path, name: str, max_size_bytes: int
) -> None:
    _, data = await render(
        renderer, path, f"convert:{name},compress:max_size_bytes={max_size_bytes}"
    )
    assert len(data) <= max_size_bytes


async def test_the_best_quality_that_fits_is_chosen(renderer: ImageRenderer, path: Path) -> None:
    _, data = await render(renderer, path, "convert:JPEG,compress:max_size_bytes=10000")
    sizes = [
        len((await render(renderer, path, f"convert:JPEG:quality={quality}"))[1])
        for quality in range(1, 96)
    ]
    assert len(data) == max(size for size in sizes if size <= 10_000)


async def test_an_unreachable_maximum_size_is_an_error(renderer: ImageRenderer, path: Path) -> None:
    for name in ("JPEG", "PNG", "TIFF"):
        reason = await refusal(renderer, path, f"convert:{name},compress:max_size_bytes=500")
        assert reason is Reason.MAX_SIZE_TOO_SMALL


@pytest.mark.parametrize("name", ["JPEG", "WEBP"])
async def test_compress_to_a_similarity_uses_the_lowest_sufficient_quality(
    renderer: ImageRenderer, path: Path, name: str
) -> None:
    async def made(pipeline: str) -> bytes:
        return (await render(renderer, path, pipeline))[1]

    exact = Similarity(pyvips.Image.new_from_buffer(await made("convert:PNG"), ""))
    _, data = await render(renderer, path, f"convert:{name},compress:similarity=0.97")
    assert exact.of(pyvips.Image.new_from_buffer(data, "")) >= 0.97
    qualities = {await made(f"convert:{name}:quality={q}"): q for q in range(1, 96)}
    below = await made(f"convert:{name}:quality={qualities[data] - 1}")
    assert exact.of(pyvips.Image.new_from_buffer(below, "")) < 0.97


async def test_compress_without_parameters_is_smaller_and_looks_the_same(
    renderer: ImageRenderer, path: Path
) -> None:
    plain = (await render(renderer, path, "convert:JPEG:quality=95"))[1]
    _, data = await render(renderer, path, "compress")
    assert len(data) < len(plain) / 2
    exact = pyvips.Image.new_from_buffer((await render(renderer, path, "convert:PNG"))[1], "")
    assert Similarity(exact).of(pyvips.Image.new_from_buffer(data, "")) >= 0.99


def test_similarity_matches_the_ssim_paper() -> None:
    image = corners(64, 64)
    flat = (pyvips.Image.black(64, 64, bands=3) + 100).cast("uchar")
    assert Similarity(image).of(image) == pytest.approx(1)
    # Without any structure, only the luminance counts: (2ab + C1) / (a² + b² + C1).
    lighter = (flat + 50).cast("uchar")
    expected = (2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025)
    assert Similarity(flat).of(lighter) == pytest.approx(expected, abs=1e-4)
    assert Similarity(image).of(image.invert()) < 0.4
