"""Images that Pillow, FFmpeg and LibRaw decode."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from media_service.codecs.inspection import Info
from media_service.codecs.inspector import Inspector
from media_service.codecs.sandbox.forks import ForkServer
from media_service.errors import MediaError, Reason
from tests.support.media.accepted_files import by_pillow, linear, photoshop
from tests.support.media.raw_files import raw_file

FILES: dict[str, Callable[[], bytes]] = {
    "image/bmp": lambda: by_pillow("BMP", {}),
    "image/vnd.adobe.photoshop": photoshop,
    "image/x-exr": lambda: linear("exr"),
    "image/x-adobe-dng": lambda: raw_file("image/x-adobe-dng"),
}


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
    path.write_bytes(data[:700])
    assert await reason(inspector, path, content_type) is Reason.MEDIA_CORRUPT


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
