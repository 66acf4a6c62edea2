"""Images that Pillow, FFmpeg and LibRaw decode."""

import importlib
import io
import os
import signal
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from media_service.codecs.image import jpeg_xl
from media_service.codecs.inspection import Info
from media_service.codecs.inspector import Inspector
from media_service.codecs.limits import INSPECTION_LIMITS
from media_service.codecs.sandbox.exit_cause import exit_cause
from media_service.codecs.sandbox.forks import ForkServer
from media_service.errors import MediaError, Reason
from tests.support.media.accepted_files import by_pillow, linear, photoshop
from tests.support.media.raw_files import HEIGHT, WIDTH, raw_file

FILES: dict[str, Callable[[], bytes]] = {
    "image/bmp": lambda: by_pillow("BMP", {}),
    "image/icns": lambda: by_pillow("ICNS", {}),
    "image/jp2": lambda: by_pillow("JPEG2000", {}),
    "image/jxl": lambda: jxl((64, 48)),
    "image/vnd.adobe.photoshop": photoshop,
    "image/vnd.microsoft.icon": lambda: by_pillow("ICO", {}),
    "image/x-exr": lambda: linear("exr"),
    "image/x-adobe-dng": lambda: raw_file("image/x-adobe-dng"),
}


def jxl(size: tuple[int, int], **options: Any) -> bytes:
    importlib.import_module("pillow_jxl")
    out = io.BytesIO()
    Image.new("RGB", size, (220, 30, 30)).save(out, "JXL", **{"effort": 1, **options})
    return out.getvalue()


def header(width: int, height: int) -> bytes:
    """The beginning of a JPEG XL code stream, with sides of 30 bits."""
    fields = 6 | (height - 1) << 3 | 3 << 36 | (width - 1) << 38
    return b"\xff\x0a" + fields.to_bytes(9, "little")


def boxed(*parts: bytes) -> bytes:
    """A JPEG XL container with these parts of a code stream."""
    boxes = ((b"JXL ", b"\r\n\x87\n"), (b"ftyp", b"jxl " + bytes(4) + b"jxl "))
    numbered = ((b"jxlp", struct.pack(">I", i) + part) for i, part in enumerate(parts))
    return b"".join(
        struct.pack(">I", 8 + len(data)) + kind + data for kind, data in (*boxes, *numbered)
    )


def icon(image: bytes) -> bytes:
    """An icon of 16 × 16 pixels, according to its directory."""
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(image), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + image


def apple_icon(image: bytes) -> bytes:
    return struct.pack(">4sI4sI", b"icns", 16 + len(image), b"icp4", 8 + len(image)) + image


def lab() -> bytes:
    """A TIFF that libvips cannot read."""
    out = io.BytesIO()
    Image.new("LAB", (100, 100)).save(out, "TIFF")
    return out.getvalue()


@pytest.fixture(scope="module")
async def small(fork_server: ForkServer) -> AsyncIterator[Inspector]:
    async with Inspector(fork_server, max_pixels=1000, children=1) as inspector:
        yield inspector


async def reason(inspector: Inspector, path: Path, content_type: str) -> Reason:
    with pytest.raises(MediaError) as error:
        await inspector.inspect(path, "IMAGE", content_type)
    return error.value.reason


@pytest.mark.parametrize("content_type", FILES)
async def test_damaged_and_large_images_are_refused(
    inspector: Inspector, small: Inspector, tmp_path: Path, content_type: str
) -> None:
    data = FILES[content_type]()
    path = tmp_path / "image"
    path.write_bytes(data)
    assert await reason(small, path, content_type) is Reason.PIXEL_LIMIT_EXCEEDED
    other = "image/jxl" if content_type == "image/bmp" else "image/bmp"
    assert await reason(inspector, path, other) is Reason.MEDIA_CORRUPT
    path.write_bytes(data[: min(700, len(data) // 2)])
    assert await reason(inspector, path, content_type) is Reason.MEDIA_CORRUPT


@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
@pytest.mark.parametrize("compression", ["none", "zip1"])
async def test_a_truncated_openexr_is_corrupt(
    inspector: Inspector, tmp_path: Path, compression: str, share: float
) -> None:
    """FFmpeg shows what is missing as black."""
    data = linear("exr", compression=compression)
    path = tmp_path / "a.exr"
    path.write_bytes(data[: int(len(data) * share)])
    assert await reason(inspector, path, "image/x-exr") is Reason.MEDIA_CORRUPT
    path.write_bytes(data + b"behind")
    assert (await inspector.inspect(path, "IMAGE", "image/x-exr")).info.width == 64


async def test_an_openexr_with_a_chunk_that_was_never_written_is_corrupt(
    inspector: Inspector, tmp_path: Path
) -> None:
    """So a program that was killed leaves it."""
    data = linear("exr")
    # The table has an offset for each of the 48 lines. The first line follows the table.
    start = next(at for at in range(1000) if data[at : at + 8] == struct.pack("<Q", at + 48 * 8))
    path = tmp_path / "a.exr"
    path.write_bytes(data[:start] + bytes(8) + data[start + 8 :])
    assert await reason(inspector, path, "image/x-exr") is Reason.MEDIA_CORRUPT


async def test_a_raw_file_behind_a_long_tiff_is_told_by_inspection(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(raw_file("image/x-adobe-dng"))
    kind: str = "IMAGE"
    found = await inspector.inspect(path, kind, "image/tiff")
    info: Info = found.info
    assert (found.content_type, getattr(info, "width", 0)) == ("image/x-adobe-dng", 96)


async def test_a_file_larger_than_the_memory_limit_is_inspected(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(by_pillow("TIFF", {}))
    os.truncate(path, 5 << 30)  # without using space
    assert (await inspector.inspect(path, "IMAGE", "image/tiff")).info.width == 64


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("image/vnd.microsoft.icon", lambda: icon(by_pillow("PNG", {})[:60])),
        ("image/icns", lambda: apple_icon(by_pillow("PNG", {})[:60])),
        ("image/icns", lambda: apple_icon(by_pillow("JPEG2000", {}))),
        ("image/tiff", lambda: lab()[:1000]),
        ("image/jxl", lambda: header(100, 100)),
        ("image/jxl", lambda: boxed(header(100, 100))),
        ("image/jxl", lambda: boxed(*(bytes([each]) for each in header(1 << 30, 100)))),
    ],
)
async def test_the_pixel_limit_is_checked_before_an_image_is_decoded(
    small: Inspector, tmp_path: Path, content_type: str, data: Callable[[], bytes]
) -> None:
    path = tmp_path / "image"
    path.write_bytes(data())  # most end before their pixels
    assert await reason(small, path, content_type) is Reason.PIXEL_LIMIT_EXCEEDED


async def test_an_icon_has_the_size_of_the_image_in_it(small: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "a.ico"
    png = io.BytesIO()
    Image.new("RGBA", (30, 20)).save(png, "PNG")
    path.write_bytes(icon(png.getvalue()))
    info = (await small.inspect(path, "IMAGE", "image/vnd.microsoft.icon")).info
    assert (info.width, info.height) == (30, 20)


SIZES = [
    (8, 8), (64, 48), (48, 32), (16, 9), (320, 256), (12, 10), (40, 20), (256, 256), (7, 300),
    (600, 7), (9000, 3), (300, 301),
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_the_header_of_a_jpeg_xl_has_its_size(size: tuple[int, int]) -> None:
    for options in ({}, {"use_container": True}):
        assert jpeg_xl.size(io.BytesIO(jxl(size, **options))) == size
    assert jpeg_xl.size(io.BytesIO(header(*size))) == size


def test_the_header_of_a_jpeg_xl_behind_many_boxes_is_not_read() -> None:
    data = io.BytesIO(boxed(*[b""] * 20_000, header(8, 8)))
    with pytest.raises(MediaError) as error:
        jpeg_xl.size(data)
    assert error.value.reason is Reason.MEDIA_CORRUPT


@pytest.mark.parametrize(
    "message",
    [b"memory allocation of 123456789 bytes failed", b"Cannot allocate memory", b"std::bad_alloc"],
)
def test_a_decoder_without_memory_exceeds_the_limit(message: bytes) -> None:
    cause = exit_cause(-signal.SIGABRT, message, INSPECTION_LIMITS)
    assert cause is not None
    assert cause.reason is Reason.INSPECTION_LIMIT_EXCEEDED


def test_a_damaged_file_is_not_said_to_exceed_the_memory() -> None:
    message = b"[aac @ 0x56354d24d880] channel element 0.0 is not allocated\n"
    assert exit_cause(69, message, INSPECTION_LIMITS) is None


@pytest.mark.parametrize("side", [32_500, 40_000])  # more than the child has, and than LibRaw takes
async def test_a_raw_file_that_needs_too_much_memory_is_not_called_damaged(
    fork_server: ForkServer, tmp_path: Path, side: int
) -> None:
    data = raw_file("image/x-adobe-dng")
    for tag, value in ((256, WIDTH), (257, HEIGHT), (278, HEIGHT)):
        entry = struct.pack("<HHI", tag, 4, 1)
        data = data.replace(entry + struct.pack("<I", value), entry + struct.pack("<I", side))
    path = tmp_path / "a.dng"
    path.write_bytes(data)
    async with Inspector(fork_server, max_pixels=1 << 40, children=1) as inspector:
        found = await reason(inspector, path, "image/x-adobe-dng")
    assert found is Reason.INSPECTION_LIMIT_EXCEEDED
