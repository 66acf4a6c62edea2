"""Results that differ from their source are found."""

import dataclasses
from pathlib import Path

import pytest
from msgspec.structs import replace

from media_service.codecs.comparison import (
    check_duration,
    check_frames,
    check_visible,
    edited_seconds,
)
from media_service.codecs.ends import Ends, FrameLook, ImageLook
from media_service.codecs.inspector import Inspector
from media_service.codecs.limits import INSPECTION_LIMITS
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource
from media_service.errors import InvalidArgument
from tests.support.media.videos import TYPES, ffmpeg, generated

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
BLACK = FrameLook(width=64, height=48, black=1.0, dark=1.0, brightness=2.0)
GRAY = FrameLook(width=64, height=48, black=0.1, dark=0.2, brightness=120.0)
# A few lights in the dark, a dim frame, and one that is almost black.
DARK = FrameLook(width=64, height=48, black=0.95, dark=0.95, brightness=8.0)
DIM = FrameLook(width=64, height=48, black=0.6, dark=0.8, brightness=40.0)
ALMOST_BLACK = FrameLook(width=64, height=48, black=0.0, dark=1.0, brightness=32.0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", H264),
        ("a.ts", H264),
        ("a.flv", ("-c:v", "flv1", "-c:a", "libmp3lame")),
        ("a.mkv", (*H264, "-x264-params", "colormatrix=YCgCo")),
    ],
)
async def test_the_ends_of_a_video_are_read(
    inspector: Inspector, tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    """The video fades to black in two seconds; its audio lasts two more."""
    fade = "testsrc2=s=64x48:r=25:d=2,fade=out:30:15"
    path = generated(tmp_path / name, fade, "sine=d=4", *options)
    found = await inspector.read_ends(path, TYPES[path.suffix], 0, 0.0, 4.0)
    assert found.first is not None
    assert found.last is not None
    assert (found.first.width, found.first.height) == (64, 48)
    assert found.first.is_visible(hdr=False)
    assert found.last.is_black
    assert found.audio_seconds == pytest.approx((4,), abs=0.1)
    middle = await inspector.read_ends(path, TYPES[path.suffix], 0, 0.5, 1.0)
    assert middle.last is not None
    assert middle.last.is_visible(hdr=False)


@pytest.mark.parametrize(
    ("source", "result", "hdr", "differs"),
    [
        (GRAY, GRAY, False, False),
        (GRAY, BLACK, False, True),
        (GRAY, BLACK, True, True),
        (DIM, BLACK, False, True),
        # Tone mapping makes dark HDR darker.
        (DIM, BLACK, True, False),
        (DARK, BLACK, False, False),
        (ALMOST_BLACK, BLACK, False, False),
        (BLACK, BLACK, False, False),
        (BLACK, GRAY, False, False),
        (None, BLACK, False, False),
        (GRAY, None, False, True),
        (GRAY, replace(GRAY, width=62), False, True),
    ],
)
def test_a_black_missing_or_wrong_frame_is_found(
    source: FrameLook | None, result: FrameLook | None, hdr: bool, differs: bool
) -> None:
    for ends in (
        (Ends(first=source, last=GRAY), Ends(first=result, last=GRAY)),
        (Ends(first=GRAY, last=source), Ends(first=GRAY, last=result)),
    ):
        if differs:
            with pytest.raises(InvalidArgument, match="result") as error:
                check_frames(*ends, (64, 48), hdr=hdr)
            assert error.value.reason == "MEDIA_CORRUPT"
        else:
            check_frames(*ends, (64, 48), hdr=hdr)


def test_a_track_that_is_too_short_is_found() -> None:
    for seconds, wanted in ((4.0, 4.02), (4.0, None), (None, 7.0), (98.0, 100.0), (5.0, 4.0)):
        check_duration("The video track", seconds, wanted)
    with pytest.raises(InvalidArgument, match=r"ends after 2\.04 seconds instead of 7\.00"):
        check_duration("The video track", 2.04, 7.0)


def test_a_track_of_a_result_ends_before_the_part_without_it() -> None:
    result = Ends(video_seconds=9.0, audio_seconds=(8.0, None), read_from=5.0)
    assert result.latest_video_end == 9.0
    assert [result.latest_audio_end(index) for index in range(3)] == [8.0, 5.0, 0.0]
    assert [Ends().latest_video_end, Ends().latest_audio_end(0)] == [None, None]


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
async def test_audio_outside_a_range_does_not_count(
    inspector: Inspector, tmp_path: Path, name: str
) -> None:
    """The audio tracks: from 7 to 8 seconds, and from 0 to 1 and from 9 to 10 seconds. In MP4, a
    packet lasts until the next one."""
    path = tmp_path / name
    gap = "aevalsrc=sin(440*t):d=10,aselect=not(between(t\\,1\\,9))"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=10", "-itsoffset", "7"),
        *("-f", "lavfi", "-i", "sine=d=1", "-f", "lavfi", "-i", gap),
        *("-map", "0", "-map", "1", "-map", "2", *H264, "-g", "25", str(path)),
    )
    clip = await inspector.read_ends(path, TYPES[path.suffix], 0, 0.0, 6.0)
    assert clip.video_seconds == pytest.approx(6, abs=0.1)
    assert clip.audio_seconds[0] is None
    assert clip.audio_seconds[1] == pytest.approx(1, abs=0.2)
    whole = await inspector.read_ends(path, TYPES[path.suffix], 0, 0.0, 10.0)
    assert whole.audio_seconds == pytest.approx((8, 10), abs=0.1)


async def test_the_ends_of_tracks_are_unknown_if_too_much_must_be_read(
    inspector: Inspector, tmp_path: Path
) -> None:
    """The audio has more packets in the last second than are read."""
    path = generated(
        *(tmp_path / "a.mkv", "testsrc2=s=64x48:r=25:d=2", "sine=r=8000:d=2"),
        *(*H264, "-c:a", "flac", "-frame_size", "16", "-ar", "192000"),
    )
    found = await inspector.read_ends(path, "video/x-matroska", 0, 0.0, 2.0)
    assert found.last is not None
    assert (found.video_seconds, found.audio_seconds, found.read_from) == (None, (), None)


def test_edits_change_how_long_a_track_should_last() -> None:
    edits = Edits(1.0, 7.0, speed=2.0)
    found = [edited_seconds(end, edits) for end in (5.0, 9.0, 0.5, None)]
    assert found == [2.0, 3.0, 0.0, None]


async def test_frames_next_to_the_ends_of_a_range_count(
    inspector: Inspector, tmp_path: Path
) -> None:
    """Frames 10 and 20 are black: at 0.4 and 0.8 seconds."""
    lights = "testsrc2=s=64x48:r=25:d=2,drawbox=t=fill:color=black:enable='eq(n,10)+eq(n,20)'"
    path = generated(tmp_path / "a.mp4", lights, "", *H264)

    async def visible(start: float, end: float, margin: float | None) -> list[bool]:
        found = await inspector.read_ends(path, "video/mp4", 0, start, end, margin)
        assert found.first is not None
        assert found.last is not None
        return [found.first.is_visible(hdr=False), found.last.is_visible(hdr=False)]

    assert await visible(0.37, 0.87, None) == [True, True]
    assert await visible(0.37, 0.87, 0.0) == [False, False]
    assert await visible(0.33, 0.91, 0.0) == [True, True]
    assert await visible(0.33, 0.91, 0.06) == [False, False]


async def test_a_result_that_exceeds_a_limit_is_not_compared(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = generated(tmp_path / "a.mp4", "testsrc2=s=64x48:r=25:d=2", "", *H264)
    limits = dataclasses.replace(INSPECTION_LIMITS, wall_seconds=0.001)
    monkeypatch.setattr("media_service.codecs.inspector.inspection_limits", lambda _: limits)
    assert await inspector.result_ends(path, "video/mp4", 2.0) is None
    monkeypatch.undo()
    assert await inspector.result_ends(path, "video/mp4", 2.0) is not None
    path.write_bytes(b"no video")
    with pytest.raises(InvalidArgument):
        await inspector.result_ends(path, "video/mp4", 2.0)


async def test_a_frame_far_from_its_key_frame_is_not_compared(
    inspector: Inspector, tmp_path: Path
) -> None:
    """The only key frame of the video is its first one, and the last frames are black."""
    fade = "testsrc2=s=64x48:r=50:d=24,fade=out:st=21:d=1"
    path = generated(tmp_path / "a.mp4", fade, "", *H264, "-g", "9999", "-sc_threshold", "0")
    info = (await inspector.inspect(path, "VIDEO", "video/mp4")).info
    source = AvSource.of(path, "video/mp4", info)
    assert (await inspector.source_ends(source, Edits(0.0, 24.0))).last is None
    middle = await inspector.source_ends(source, Edits(0.0, 19.0))
    assert middle.last is not None
    assert middle.last.is_visible(hdr=False)


async def test_a_result_without_a_video_track_is_corrupt(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = generated(tmp_path / "a.mp4", "sine=d=1", "", "-c:a", "aac")
    with pytest.raises(InvalidArgument, match="no video track"):
        await inspector.result_ends(path, "video/mp4", 1.0)


async def test_how_an_image_looks_is_read(inspector: Inspector, tmp_path: Path) -> None:
    still = generated(tmp_path / "a.png", "color=black:s=64x48", "", "-frames:v", "1")
    found = await inspector.look_at(still, "image/png")
    assert (found.width, found.height, found.frames, found.is_black) == (64, 48, 1, True)
    for name in ("a.webp", "a.gif"):
        path = generated(tmp_path / name, "testsrc2=s=64x48:r=5:d=2", "", "-loop", "0")
        found = await inspector.look_at(path, f"image/{path.suffix[1:]}")
        assert (found.width, found.height, found.frames, found.seconds) == (64, 48, 10, 2.0)
        assert found.is_visible(hdr=False)


@pytest.mark.parametrize(
    ("first", "last", "result", "differs"),
    [
        (GRAY, GRAY, BLACK, True),
        (GRAY, None, BLACK, True),
        (GRAY, BLACK, BLACK, False),
        (DARK, DARK, BLACK, False),
        (GRAY, GRAY, DIM, False),
        (None, None, BLACK, False),
    ],
)
def test_a_black_image_of_a_visible_video_is_found(
    first: FrameLook | None, last: FrameLook | None, result: FrameLook, differs: bool
) -> None:
    source = Ends(first=first, last=last)
    image = ImageLook(
        **{f: getattr(result, f) for f in result.__struct_fields__}, frames=1, seconds=0
    )
    if differs:
        with pytest.raises(InvalidArgument, match="black"):
            check_visible(source, image, hdr=False)
    else:
        check_visible(source, image, hdr=False)
