"""What a library or a program says about a file is logged, and not shown to callers: it may contain
addresses of memory, and text that the file chose."""

import logging
from pathlib import Path

import pytest

from media_service.codecs.inspector import Inspector
from media_service.errors import MediaError, Reason
from tests.codecs.test_programs import run
from tests.support.media.format_files import make_image
from tests.support.media.small_files import jpeg

OURS = {
    "The image cannot be decoded: it is damaged.",
    "The document cannot be read.",
    "The document cannot be read: it is damaged.",
    "The file cannot be read as video/mp4: it is damaged.",
    "The file is truncated.",
    "The process that read the file crashed.",
}
NOISE = bytes(range(256)) * 40
# One for each library. A child that read a damaged file ends, so each takes a while.
FILES = {
    "image/jpeg": ("IMAGE", jpeg(64, 64)[:300] + b"\xff\xda" + NOISE),
    "image/heic": ("IMAGE", b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + NOISE),
    "application/pdf": ("DOCUMENT", b"%PDF-1.7\n" + NOISE + b"\n%%EOF\n"),
    "video/mp4": ("VIDEO", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\x28\x08mdat" + NOISE),
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


async def test_an_error_tells_nothing_of_an_earlier_file(
    inspector: Inspector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = jpeg(64, 64)
    (damaged := tmp_path / "damaged.jpg").write_bytes(data[:-12] + data[-2:])
    make_image().write_to_file(str(other := tmp_path / "other.webp"))
    other.write_bytes(other.read_bytes()[:-200])
    await inspector.inspect(damaged, "IMAGE", "image/jpeg")
    with caplog.at_level(logging.INFO), pytest.raises(MediaError):
        await inspector.inspect(other, "IMAGE", "image/webp")
    assert "webp: unable to parse image" in caplog.text
    assert "Jpeg" not in caplog.text


async def test_an_error_of_a_program_is_in_own_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(MediaError) as error:
        await run("secret=0x5581")
    assert error.value.message == "The file cannot be processed: it is damaged."
    assert "secret=0x5581" in caplog.text
