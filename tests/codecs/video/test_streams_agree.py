"""Streams have the duration of their source, and its first and last frame."""

from pathlib import Path

import av
import pytest

from media_service.codecs.inspector import Inspector
from tests.support.media.encoded_streams import encoded_stream
from tests.support.media.videos import ffmpeg, generated

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
BARS = "testsrc2=s=160x120:r=25:d=2"
STILL = "testsrc2=s=160x120:r=25:d=0.04"


def brightness(path: Path) -> tuple[float, float]:
    """The mean brightness of the first and the last frame."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return frames[0].to_ndarray()[:120].mean(), frames[-1].to_ndarray()[:120].mean()


@pytest.mark.parametrize(
    ("name", "video", "audio", "options", "seconds"),
    [
        ("longer.mp4", BARS, "sine=d=4", H264, 4),
        ("still.mp4", STILL, "sine=d=3", H264, 3),
        ("still.wmv", STILL, "sine=d=3", ("-c:v", "wmv2", "-c:a", "libmp3lame"), 3),
        ("first.flv", BARS, "sine=d=2", ("-c:v", "flv1", "-c:a", "libmp3lame"), 2),
        ("tiny.mp4", "testsrc2=s=2x2:r=25:d=1", "", H264, 1),
        *(
            (f"{matrix}.mp4", BARS, "", (*H264, "-x264-params", f"colormatrix={matrix}"), 2)
            for matrix in ("YCgCo", "chroma-derived-nc", "ICtCp", "bt2020c")
        ),
    ],
)
async def test_a_stream_lasts_as_long_as_its_longest_track(
    inspector: Inspector,
    tmp_path: Path,
    name: str,
    video: str,
    audio: str,
    options: tuple[str, ...],
    seconds: float,
) -> None:
    path = generated(tmp_path / name, video, audio, *options)
    tracks = await encoded_stream(inspector, path, tmp_path)
    assert tracks["v"].seconds == pytest.approx(seconds, abs=0.06)
    assert brightness(tracks["v"].path) == pytest.approx(brightness(path), abs=8)
    if audio:
        assert tracks["a1"].seconds == pytest.approx(seconds, abs=0.1)


async def test_frames_behind_audio_are_not_lost(inspector: Inspector, tmp_path: Path) -> None:
    """FLV has no index: a seek to a time before the first key frame fails."""
    shades = "color=black:s=160x120:r=25:d=2,format=yuv420p,geq=lum='40+4*N':cb=128:cr=128"
    path = tmp_path / "late.flv"
    inputs = ("-f", "lavfi", "-i", "sine=d=3", "-itsoffset", "1", "-f", "lavfi", "-i", shades)
    codecs = ("-c:v", "flv1", "-q:v", "2", "-g", "100", "-c:a", "libmp3lame")
    ffmpeg(*inputs, *codecs, str(path))
    tracks = await encoded_stream(inspector, path, tmp_path)
    assert tracks["v"].seconds == pytest.approx(3, abs=0.06)
    assert brightness(tracks["v"].path) == pytest.approx((40, 236), abs=4)
    clip = await encoded_stream(inspector, path, tmp_path, "clip:0.5:2,stream:min_height=144")
    assert brightness(clip["v"].path) == pytest.approx((40, 136), abs=6)


async def test_the_last_frame_is_held_over_whole_chunks(
    inspector: Inspector, tmp_path: Path
) -> None:
    """A transport stream has no index to find the last frame in."""
    path = tmp_path / "a.ts"
    inputs = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=5:d=2", "-f", "lavfi", "-i", "sine=d=100")
    ffmpeg(*inputs, *H264, "-c:a", "aac", "-b:a", "32k", str(path))
    tracks = await encoded_stream(inspector, path, tmp_path, "mute,stream:min_height=144")
    assert tracks["v"].seconds == pytest.approx(100, abs=0.3)
    assert brightness(tracks["v"].path) == pytest.approx(brightness(path), abs=8)
