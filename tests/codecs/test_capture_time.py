"""Capture times from the metadata of files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from media_service.clock import now
from media_service.codecs.inspect.capture_time import from_exif, from_metadata
from media_service.codecs.inspection import validated
from media_service.codecs.inspector import Inspector
from media_service.errors import InvalidArgument
from tests.support.media.format_files import heic, make_image, make_video, with_tags

UTC_TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def exif(date: str, offset: str = "") -> datetime | None:
    return from_exif({"DateTimeOriginal": date, "OffsetTimeOriginal": offset})


@pytest.mark.parametrize(
    ("date", "offset", "expected"),
    [
        ("2026:01:02 03:04:05", "", UTC_TIME),
        ("2026:01:02 03:04:05", "Z", UTC_TIME),
        ("2026:01:02 05:04:05", "+02:00", UTC_TIME),
        ("2026:01:01 19:34:05", "-07:30", UTC_TIME),
        ("1839:01:02 03:04:05", "", datetime(1839, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_exif_date_time_original_is_the_capture_time(
    date: str, offset: str, expected: datetime
) -> None:
    assert exif(date, offset) == expected


@pytest.mark.parametrize(
    "date",
    [
        "",
        "0000:00:00 00:00:00",
        "    :  :     :  :  ",
        "2026:02:30 03:04:05",
        "2026-01-02 03:04:05",
        "2026:01:02",
        "1700:01:02 03:04:05",
        "1904:01:01 00:00:00",
        "1970:01:01 00:00:00",
        "9999:12:31 23:59:59",
    ],
)
def test_an_implausible_exif_time_is_ignored(date: str) -> None:
    assert exif(date) is None


def test_an_exif_time_without_a_zone_may_be_14_hours_ahead() -> None:
    assert exif(f"{now() + timedelta(hours=14):%Y:%m:%d %H:%M:%S}") is not None
    assert exif(f"{now() + timedelta(hours=25):%Y:%m:%d %H:%M:%S}") is None


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"creation_time": "2026-01-02T03:04:05.000000Z"}, UTC_TIME),
        ({"com.apple.quicktime.creationdate": "2026-01-02T05:04:05+0200"}, UTC_TIME),
        (
            {
                "com.apple.quicktime.creationdate": "2026-01-02T05:04:05+0200",
                "creation_time": "2026-05-05T00:00:00.000000Z",
            },
            UTC_TIME,
        ),
        (
            {
                "com.apple.quicktime.creationdate": "1904-01-01T00:00:00+0000",
                "creation_time": "2026-01-02T03:04:05.000000Z",
            },
            UTC_TIME,
        ),
        ({"creation_time": "1904-01-01T00:00:00.000000Z"}, None),
        ({"creation_time": "2100-01-01T00:00:00.000000Z"}, None),
        ({"creation_time": "a while ago"}, None),
        ({}, None),
    ],
)
def test_video_metadata_gives_the_capture_time(
    metadata: dict[str, str], expected: datetime | None
) -> None:
    assert from_metadata(metadata) == expected


async def test_an_image_has_its_exif_capture_time(inspector: Inspector, tmp_path: Path) -> None:
    tags = {"ifd2-DateTimeOriginal": "2026:01:02 05:04:05", "ifd2-OffsetTimeOriginal": "+02:00"}
    path = tmp_path / "a.jpg"
    with_tags(make_image(), tags).write_to_file(str(path))
    found = await inspector.inspect(path, "IMAGE", "image/jpeg")
    assert found.capture_time == UTC_TIME


async def test_an_image_without_exif_has_no_capture_time(
    inspector: Inspector, tmp_path: Path
) -> None:
    found = await inspector.inspect(heic(tmp_path / "a.heic"), "IMAGE", "image/heic")
    assert found.capture_time is None


@pytest.mark.parametrize(
    ("name", "kind", "content_type", "codecs"),
    [
        ("a.mp4", "VIDEO", "video/mp4", ("libx264", "")),
        ("a.mkv", "VIDEO", "video/x-matroska", ("libx264", "")),
        ("a.m4a", "AUDIO", "audio/mp4", ("", "aac")),
    ],
)
async def test_video_and_audio_files_have_a_capture_time(
    inspector: Inspector,
    tmp_path: Path,
    name: str,
    kind: str,
    content_type: str,
    codecs: tuple[str, str],
) -> None:
    time = {"creation_time": "2026-01-02T03:04:05Z"}
    path = make_video(tmp_path / name, *codecs, metadata=time)
    assert (await inspector.inspect(path, kind, content_type)).capture_time == UTC_TIME


async def test_a_quicktime_creation_date_is_the_capture_time(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = make_video(
        tmp_path / "a.mov",
        "libx264",
        "",
        metadata={"com.apple.quicktime.creationdate": "2026-01-02T05:04:05+0200"},
        options={"movflags": "use_metadata_tags"},
    )
    assert (await inspector.inspect(path, "VIDEO", "video/quicktime")).capture_time == UTC_TIME


def test_a_capture_time_outside_the_range_of_the_database_is_rejected() -> None:
    answer = {"info": {}, "content_type": "a/b", "capture_time": "0001-01-01T00:00:00+14:00"}
    with pytest.raises(InvalidArgument):
        validated(answer, "DOCUMENT", "a/b")
