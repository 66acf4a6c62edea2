"""Inspection of video and audio files."""

from fractions import Fraction
from pathlib import Path

import pytest

from media_service.codecs.inspection import AudioTrack, AvInfo, Location, PrivateInfo, VideoInfo
from media_service.codecs.inspector import Inspector
from media_service.errors import MediaError, Reason
from tests.support.media.format_files import ffmpeg, make_audio, make_video, turn, with_matrix


async def refusal(inspector: Inspector, path: Path, kind: str, content_type: str) -> Reason:
    with pytest.raises(MediaError) as error:
        await inspector.inspect(path, kind, content_type)
    return error.value.reason


async def test_an_mp4_video_is_inspected(inspector: Inspector, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "libx264", "aac")
    found = await inspector.inspect(path, "VIDEO", "video/mp4")
    assert found.info.duration_seconds == pytest.approx(1.2, abs=0.1)
    assert found.info.bit_rate_kbps > 10
    assert found.info == VideoInfo(
        duration_seconds=found.info.duration_seconds,
        bit_rate_kbps=found.info.bit_rate_kbps,
        width=128,
        height=72,
        frame_rate=25.0,
        video_codec="h264",
        audio_codec="aac",
        audio_channels=2,
        audio_sample_rate_hz=44100,
        container="mp4",
        dynamic_range="SDR",
        audio_tracks=(AudioTrack(codec="aac", channels=2, sample_rate_hz=44100),),
    )
    assert found.private_info == PrivateInfo()


@pytest.mark.parametrize("clockwise", [90, 180, 270])
async def test_a_rotated_video_has_its_size_after_rotation(
    inspector: Inspector, tmp_path: Path, clockwise: int
) -> None:
    path = turn(make_video(tmp_path / "phone.mp4", "libx264", ""), clockwise)
    info = (await inspector.inspect(path, "VIDEO", "video/mp4")).info
    assert info.rotation_degrees == clockwise
    upright = clockwise == 180
    assert (info.width, info.height) == ((128, 72) if upright else (72, 128))


@pytest.mark.parametrize(
    ("matrix", "rotation"),
    [
        ((-1, 0, 0, 1), 0),  # left and right exchanged
        ((1, 0, 0, -1), 0),  # upside down, which is not a rotation either
        ((0, 1, 1, 0), 90),
    ],
)
async def test_a_mirrored_video_is_not_upside_down(
    inspector: Inspector, tmp_path: Path, matrix: tuple[int, int, int, int], rotation: int
) -> None:
    path = with_matrix(make_video(tmp_path / "selfie.mp4", "libx264", ""), matrix)
    info = (await inspector.inspect(path, "VIDEO", "video/mp4")).info
    assert info.rotation_degrees == rotation
    assert (info.width, info.height) == ((72, 128) if rotation else (128, 72))


async def test_the_width_accounts_for_the_pixel_aspect_ratio(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "wide.mp4", "libx264", "", aspect=Fraction(2, 1))
    info = (await inspector.inspect(path, "VIDEO", "video/mp4")).info
    assert (info.width, info.height) == (256, 72)


async def test_the_recording_location_of_a_video_is_private_info(
    inspector: Inspector, tmp_path: Path
) -> None:
    place = {"com.apple.quicktime.location.ISO6709": "+37.3318-122.0312+010.5/"}
    path = make_video(
        tmp_path / "a.mov",
        "libx264",
        "",
        metadata=place,
        options={"movflags": "use_metadata_tags"},
    )
    found = await inspector.inspect(path, "VIDEO", "video/quicktime")
    assert found.private_info == PrivateInfo(
        location=Location(latitude=37.3318, longitude=-122.0312)
    )


async def test_a_webm_video_is_inspected(inspector: Inspector, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.webm", "libvpx", "libopus")
    info = (await inspector.inspect(path, "VIDEO", "video/webm")).info
    assert (info.video_codec, info.audio_codec) == ("vp8", "opus")
    assert info.container == "webm"
    assert info.duration_seconds == pytest.approx(1.2, abs=0.1)


@pytest.mark.parametrize(
    ("suffix", "content_type"),
    [
        ("avi", "video/vnd.avi"),
        ("flv", "video/x-flv"),
        ("wmv", "video/x-ms-wmv"),
        ("ts", "video/mp2t"),
        ("mpg", "video/mpeg"),
        ("mov", "video/quicktime"),
        ("aac", "audio/aac"),
        ("amr", "audio/amr"),
        ("aiff", "audio/aiff"),
    ],
)
async def test_every_content_type_has_a_duration(
    inspector: Inspector, tmp_path: Path, suffix: str, content_type: str
) -> None:
    path, kind = tmp_path / f"a.{suffix}", content_type.partition("/")[0].upper()
    inputs = ["-f", "lavfi", "-i", "sine=d=40:r=8000"]
    if kind == "VIDEO":
        inputs += ["-f", "lavfi", "-i", "testsrc2=s=128x72:r=25:d=40", "-ar", "44100"]
    info = (await inspector.inspect(ffmpeg(path, *inputs), kind, content_type)).info
    assert isinstance(info, AvInfo)
    # Some demuxers estimate the duration from the bit rate at the start.
    assert info.duration_seconds == pytest.approx(40, abs=2)
    assert info.audio_codec


async def test_a_missing_duration_in_the_header_is_measured(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "browser.webm", "libvpx", "", options={"live": "1"})
    info = (await inspector.inspect(path, "VIDEO", "video/webm")).info
    assert info.duration_seconds == pytest.approx(1.2, abs=0.1)
    assert info.bit_rate_kbps > 0


@pytest.mark.parametrize(
    ("suffix", "encoder", "content_type", "codec"),
    [
        ("mp3", "libmp3lame", "audio/mpeg", "mp3"),
        ("ogg", "libopus", "audio/ogg", "opus"),
        ("wav", "pcm_s16le", "audio/wav", "pcm"),
        ("flac", "flac", "audio/flac", "flac"),
        ("m4a", "aac", "audio/mp4", "aac"),
    ],
)
async def test_audio_files_are_inspected(
    inspector: Inspector, tmp_path: Path, suffix: str, encoder: str, content_type: str, codec: str
) -> None:
    path = make_audio(tmp_path / f"a.{suffix}", encoder)
    info = (await inspector.inspect(path, "AUDIO", content_type)).info
    assert info.audio_codec == codec
    assert info.audio_channels == 2
    assert info.audio_sample_rate_hz == (48000 if codec == "opus" else 44100)
    assert info.duration_seconds == pytest.approx(1.2, abs=0.15)
    assert info.bit_rate_kbps > 0


@pytest.mark.parametrize("seconds", [0, 2])
async def test_the_duration_of_h264_in_avi_is_that_of_the_video(
    inspector: Inspector, tmp_path: Path, seconds: int
) -> None:
    """Its packets have decoding times only. The audio, if any, lasts two seconds."""
    video = ("-f", "lavfi", "-i", "testsrc2=s=128x72:r=25:d=6")
    audio = ("-f", "lavfi", "-i", f"sine=d={seconds}") if seconds else ()
    path = ffmpeg(tmp_path / "a.avi", *video, *audio, "-c:v", "libx264", "-c:a", "libmp3lame")
    info = (await inspector.inspect(path, "VIDEO", "video/vnd.avi")).info
    assert info.duration_seconds == pytest.approx(6, abs=0.1)
