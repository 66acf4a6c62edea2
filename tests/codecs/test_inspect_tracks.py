"""Inspection of tracks, chapters, tags, dynamic range and frame rates."""

from pathlib import Path

import pytest

from media_service.codecs.inspection import (
    AudioInfo,
    AudioTrack,
    Chapter,
    PrivateInfo,
    SubtitleTrack,
)
from media_service.codecs.inspector import Inspector
from tests.support.media.format_files import (
    CHAPTERS,
    ffmpeg,
    make_moving_video,
    video_with_everything,
)

TWO = (
    Chapter(start_seconds=0.0, end_seconds=0.4, title="One"),
    Chapter(start_seconds=0.4, end_seconds=1.0, title="Zwölf"),
)


def chapters(folder: Path, text: str = CHAPTERS) -> list[str | Path]:
    """FFmpeg's arguments for a second of audio with chapters."""
    (list_ := folder / "chapters.txt").write_text(text)
    return ["-f", "lavfi", "-i", "sine=d=1", "-f", "ffmetadata", "-i", list_, "-map_metadata", "1"]


@pytest.mark.parametrize(
    ("name", "content_type", "subtitles", "expected"),
    [
        ("a.mp4", "video/mp4", "mov_text", "tx3g"),
        ("a.mkv", "video/x-matroska", "subrip", "subrip"),
        ("b.mkv", "video/x-matroska", "ass", "ass"),
        ("c.mkv", "video/x-matroska", "webvtt", "webvtt"),
    ],
)
async def test_the_tracks_and_chapters_of_a_video_are_listed(
    inspector: Inspector,
    tmp_path: Path,
    name: str,
    content_type: str,
    subtitles: str,
    expected: str,
) -> None:
    path = video_with_everything(tmp_path / name, subtitles)
    info = (await inspector.inspect(path, "VIDEO", content_type)).info
    assert info.audio_tracks == (
        AudioTrack(codec="aac", channels=1, sample_rate_hz=44100, language="deu"),
        AudioTrack(codec="aac", channels=2, sample_rate_hz=48000, title="Director"),
    )
    assert (info.audio_codec, info.audio_channels, info.audio_sample_rate_hz) == ("aac", 1, 44100)
    assert info.subtitle_tracks == (SubtitleTrack(codec=expected, text=True, language="fra"),)
    assert info.chapters == TWO


async def test_image_subtitles_are_not_text(inspector: Inspector, tmp_path: Path) -> None:
    path = video_with_everything(tmp_path / "a.mkv", "subrip")
    path.write_bytes(path.read_bytes().replace(b"S_TEXT/UTF8", b"S_HDMV/PGS\0"))
    info = (await inspector.inspect(path, "VIDEO", "video/x-matroska")).info
    (track,) = info.subtitle_tracks
    assert (track.codec, track.text) == ("pgs", False)


async def test_an_audio_track_of_an_unknown_codec_is_listed_without_a_codec(
    inspector: Inspector, tmp_path: Path
) -> None:
    """Phones write such second tracks. Players ignore them."""
    path = video_with_everything(tmp_path / "a.mkv", "subrip")
    data = path.read_bytes()
    second = data.index(b"A_AAC", data.index(b"A_AAC") + 1)
    path.write_bytes(data[:second] + b"A_XYZ" + data[second + 5 :])
    info = (await inspector.inspect(path, "VIDEO", "video/x-matroska")).info
    assert [track.codec for track in info.audio_tracks] == ["aac", ""]


async def test_the_number_of_chapters_is_limited(inspector: Inspector, tmp_path: Path) -> None:
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle=" + "x" * 300 + "\n"
    many = ";FFMETADATA1\n" + "".join(chapter.format(n, n + 1) for n in range(600))
    path = ffmpeg(tmp_path / "a.mka", *chapters(tmp_path, many), "-c:a", "aac")
    kept = (await inspector.inspect(path, "VIDEO", "video/x-matroska")).info.chapters
    assert len(kept) == 500
    assert kept[499] == Chapter(start_seconds=0.499, end_seconds=0.5, title="x" * 200)


@pytest.mark.parametrize(
    ("name", "encoder", "content_type", "expected"),
    [
        ("a.mp3", "libmp3lame", "audio/mpeg", TWO),
        ("a.m4a", "aac", "audio/mp4", TWO),
        ("a.ogg", "libopus", "audio/ogg", ()),
        ("a.flac", "flac", "audio/flac", ()),
    ],
)
async def test_the_tags_and_chapters_of_an_audio_file_are_listed(
    inspector: Inspector,
    tmp_path: Path,
    name: str,
    encoder: str,
    content_type: str,
    expected: tuple[Chapter, ...],
) -> None:
    path = ffmpeg(tmp_path / name, *chapters(tmp_path), "-c:a", encoder)
    info = (await inspector.inspect(path, "AUDIO", content_type)).info
    assert info.tags == {"title": "A tale", "artist": "Nobody"}
    if expected:
        assert info.chapters == expected


async def test_the_tags_of_audio_do_not_reveal_where_it_was_recorded(
    inspector: Inspector, tmp_path: Path
) -> None:
    place = ["-metadata", "location=+37.3318-122.0312/", "-metadata", "title=Walk"]
    path = ffmpeg(tmp_path / "a.m4a", "-f", "lavfi", "-i", "sine=d=1", *place, "-c:a", "aac")
    found = await inspector.inspect(path, "AUDIO", "audio/mp4")
    assert found.info.tags == {"title": "Walk"}
    assert found.private_info == PrivateInfo()


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [("smpte2084", "HDR_PQ"), ("arib-std-b67", "HDR_HLG"), ("bt709", "SDR")],
)
async def test_the_dynamic_range_of_a_video_is_detected(
    inspector: Inspector, tmp_path: Path, transfer: str, expected: str
) -> None:
    path = make_moving_video(
        tmp_path / "a.mp4", "-c:v", "libx264", "-x264-params", f"transfer={transfer}"
    )
    info = (await inspector.inspect(path, "VIDEO", "video/mp4")).info
    assert info.dynamic_range == expected


@pytest.mark.parametrize(
    ("name", "content_type", "encoder"),
    [
        ("a.mp4", "video/mp4", "libx264"),
        ("a.webm", "video/webm", "libvpx"),
        ("a.ts", "video/mp2t", "libx264"),
        ("a.avi", "video/vnd.avi", "mpeg4"),
    ],
)
@pytest.mark.parametrize("rate", ["24000/1001", "60"])
async def test_a_constant_frame_rate_is_detected(
    inspector: Inspector, tmp_path: Path, name: str, content_type: str, encoder: str, rate: str
) -> None:
    """This includes containers with millisecond timestamps and videos with reordered frames."""
    path = make_moving_video(tmp_path / name, "-r", rate, "-c:v", encoder, "-bf", "2", seconds=2)
    info = (await inspector.inspect(path, "VIDEO", content_type)).info
    assert info.variable_frame_rate is False


@pytest.mark.parametrize(
    ("name", "content_type"), [("a.mp4", "video/mp4"), ("a.mkv", "video/x-matroska")]
)
async def test_a_variable_frame_rate_is_detected(
    inspector: Inspector, tmp_path: Path, name: str, content_type: str
) -> None:
    some = ["-vf", "select=not(eq(mod(n\\,5)\\,3))", "-fps_mode", "vfr"]
    path = make_moving_video(tmp_path / name, *some, "-c:v", "libx264")
    info = (await inspector.inspect(path, "VIDEO", content_type)).info
    assert info.variable_frame_rate is True


async def test_the_frame_rate_of_a_long_video_is_measured_at_its_start(
    inspector: Inspector, tmp_path: Path
) -> None:
    """The video has more frames than inspection reads, and they are reordered."""
    shuffled = ["-x264-params", "bframes=8:b-adapt=0:keyint=999"]
    path = make_moving_video(tmp_path / "a.mp4", "-c:v", "libx264", *shuffled, seconds=24)
    info = (await inspector.inspect(path, "VIDEO", "video/mp4")).info
    assert info.variable_frame_rate is False


async def test_one_uneven_frame_is_not_a_variable_frame_rate(
    inspector: Inspector, tmp_path: Path
) -> None:
    """In a fragmented MP4, the first frame of a video also lasts as long as the audio is early."""
    audio = ("-f", "lavfi", "-i", "sine=d=2", "-map", "0", "-map", "1")
    fragmented = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
    codecs = ("-c:v", "libx264", "-bf", "0", "-c:a", "aac")
    path = make_moving_video(tmp_path / "a.mp4", *audio, *codecs, *fragmented, seconds=2)
    info = (await inspector.inspect(path, "VIDEO", "video/mp4")).info
    assert (info.frame_rate, info.variable_frame_rate) == (25, False)


@pytest.mark.parametrize("name", ["a.mkv", "a.mov"])
async def test_a_video_track_of_one_image_is_cover_art(
    inspector: Inspector, tmp_path: Path, name: str
) -> None:
    """Many programs write covers as ordinary video tracks."""
    content_type = {"mkv": "video/x-matroska", "mov": "video/quicktime"}[name[2:]]
    cover = ("-f", "lavfi", "-i", "color=red:s=64x64:r=1:d=1")
    audio = ("-f", "lavfi", "-i", "sine=d=2")
    video = ("-f", "lavfi", "-i", "testsrc2=s=128x72:r=25:d=2,format=yuv420p")
    codecs = ("-c:v:0", "png", "-c:a", "aac")
    song = ffmpeg(tmp_path / f"song-{name}", *cover, *audio, *codecs)
    kind: str = "VIDEO"  # as its first bytes indicate
    audio_info = (await inspector.inspect(song, kind, content_type)).info
    assert isinstance(audio_info, AudioInfo)
    assert audio_info.audio_codec == "aac"
    every = ("-map", "0", "-map", "1", "-map", "2", *codecs, "-c:v:1", "libx264")
    path = ffmpeg(tmp_path / name, *cover, *video, *audio, *every)
    info = (await inspector.inspect(path, "VIDEO", content_type)).info
    assert (info.width, info.height, info.video_codec) == (128, 72, "h264")
    alone = ffmpeg(tmp_path / f"alone-{name}", *cover, *codecs)
    assert (await inspector.inspect(alone, "VIDEO", content_type)).info.width == 64
