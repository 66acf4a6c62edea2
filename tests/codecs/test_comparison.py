"""Results that differ from their source are found."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from media_service.codecs.comparison import check_duration, check_frames, edited_seconds
from media_service.codecs.ends import Ends, FrameLook
from media_service.codecs.inspector import Inspector
from media_service.codecs.video.edits import Edits
from media_service.errors import InvalidArgument
from tests.support.media.videos import TYPES, generated

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
BLACK = FrameLook(width=64, height=48, black=1.0, brightness=2.0)
GRAY = FrameLook(width=64, height=48, black=0.1, brightness=120.0)
# A few lights in the dark, and a dim frame.
DARK = FrameLook(width=64, height=48, black=0.95, brightness=8.0)
DIM = FrameLook(width=64, height=48, black=0.6, brightness=40.0)


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
    for seconds, wanted in ((4.0, 4.02), (4.0, None), (98.0, 100.0), (5.0, 4.0)):
        check_duration("The video track", seconds, wanted)
    with pytest.raises(InvalidArgument, match=r"ends after 2\.04 seconds instead of after 7\.00"):
        check_duration("The video track", 2.04, 7.0)
    with pytest.raises(InvalidArgument, match="ends early"):
        check_duration("The video track", None, 7.0)


def test_edits_change_how_long_a_track_should_last() -> None:
    edits = Edits(1.0, 7.0, speed=2.0)
    found = [edited_seconds(end, edits) for end in (5.0, 9.0, 0.5, None)]
    assert found == [2.0, 3.0, 0.0, None]
