"""What a library or a program says about a file is logged, and not shown to callers: it may contain
addresses of memory, and text that the file chose."""

import logging
from pathlib import Path

import pytest

from media_service.codecs.inspector import Inspector
from media_service.errors import MediaError, Reason
from tests.codecs.test_programs import run
from tests.support.media.small_files import jpeg, png

OURS = {
    "The image cannot be decoded: it is damaged.",
    "The document cannot be read.",
    "The document cannot be read: it is damaged.",
    "The file cannot be read as video/mp4: it is damaged.",
    "The file cannot be read as audio/mpeg: it is damaged.",
    "The file cannot be read as video/webm: it is damaged.",
    "The file is truncated.",
    "The process that read the file crashed.",
}
NOISE = bytes(range(256)) * 40
FILES = {
    "image/jpeg": ("IMAGE", jpeg(64, 64)[:300] + b"\xff\xda" + NOISE),
    "image/png": ("IMAGE", png()[:40] + NOISE),
    "image/gif": ("IMAGE", b"GIF89a" + NOISE),
    "image/webp": ("IMAGE", b"RIFF\x00\x10\0\0WEBPVP8 " + NOISE),
    "image/tiff": ("IMAGE", b"II*\0\x08\0\0\0" + NOISE),
    "image/heic": ("IMAGE", b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + NOISE),
    "image/svg+xml": ("IMAGE", b'<svg xmlns="http://www.w3.org/2000/svg"><g>'),
    "application/pdf": ("DOCUMENT", b"%PDF-1.7\n" + NOISE + b"\n%%EOF\n"),
    "video/mp4": ("VIDEO", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\x28\x08mdat" + NOISE),
    "video/webm": ("VIDEO", b"\x1a\x45\xdf\xa3" + NOISE),
    "audio/mpeg": ("AUDIO", b"ID3" + NOISE),
}


@pytest.mark.parametrize("content_type", FILES)
async def test_an_error_of_inspection_is_in_own_words(
    inspector: Inspector, tmp_path: Path, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind, data = FILES[content_type]
    path = tmp_path / "file"
    path.write_bytes(data)
    with caplog.at_level(logging.INFO), pytest.raises(MediaError) as error:
        await inspector.inspect(path, kind, content_type)
    assert error.value.reason is Reason.MEDIA_CORRUPT
    assert error.value.message in OURS
    assert error.value.message in caplog.text


async def test_an_error_of_a_program_is_in_own_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(MediaError) as error:
        await run("secret=0x5581")
    assert error.value.message == "The file cannot be processed: it is damaged."
    assert "secret=0x5581" in caplog.text
