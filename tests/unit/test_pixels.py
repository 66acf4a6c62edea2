"""The number of pixels that the server reads from the header of an image."""

import io
import struct
from typing import Any

import pytest
from PIL import Image

from media_service.media.pixels import pixels
from tests.support.media.accepted_files import PILLOW


@pytest.mark.parametrize("content_type", sorted(PILLOW.keys() - {"image/jxl"}))
def test_a_header_has_the_pixels_of_its_image_or_is_not_read(content_type: str) -> None:
    format_name, options = PILLOW[content_type]
    out = io.BytesIO()
    Image.new("RGB", (64, 48)).save(out, format_name, **options)
    image: Any = Image.open(io.BytesIO(out.getvalue()))
    image.load()
    assert pixels(out.getvalue(), content_type) in {0, image.width * image.height}


def test_a_bmp_has_a_header_of_windows_or_os2() -> None:
    file = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54)
    windows = struct.pack("<Iii", 40, 64, -48)
    os2 = struct.pack("<IHHHH", 12, 64, 48, 1, 24)
    assert [pixels(file + header, "image/bmp") for header in (windows, os2)] == [64 * 48] * 2
    assert pixels(file + windows[:-1], "image/bmp") == pixels(file, "image/bmp") == 0
