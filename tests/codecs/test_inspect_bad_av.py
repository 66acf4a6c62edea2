"""Broken and hostile video and audio files."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from media_service.codecs.demuxers import DEMUXERS
from media_service.codecs.inspect.av import inspect
from media_service.codecs.inspector import Inspector
from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource
from media_service.errors import InvalidArgument, MediaError, Reason
from tests.support.media.audio import TYPES
from tests.support.media.format_files import (
    ffmpeg,
    make_audio,
    make_image,
    make_moving_video,
    make_video,
)


async def refusal(inspector: Inspector, path: Path, kind: str, content_type: str) -> Reason:
    with pytest.raises(MediaError) as error:
        await inspector.inspect(path, kind, content_type)
    return error.value.reason


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("VIDEO", "video/mp4"),
        ("VIDEO", "video/webm"),
        ("AUDIO", "audio/mpeg"),
        ("AUDIO", "audio/midi"),
        ("DOCUMENT", "application/pdf"),
    ],
)
async def test_random_bytes_are_corrupt(
    inspector: Inspector, tmp_path: Path, kind: str, content_type: str
) -> None:
    path = tmp_path / "noise"
    path.write_bytes(bytes(n * n * 7919 % 251 for n in range(100_000)))
    assert await refusal(inspector, path, kind, content_type) is Reason.MEDIA_CORRUPT


async def test_a_video_without_its_index_is_corrupt(inspector: Inspector, tmp_path: Path) -> None:
    path = make_video(tmp_path / "cut.mp4", "libx264", "aac")
    path.write_bytes(path.read_bytes()[:2000])
    assert await refusal(inspector, path, "VIDEO", "video/mp4") is Reason.MEDIA_CORRUPT


async def test_a_video_whose_frames_cannot_be_decoded_is_corrupt(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "overwritten.mp4", "libx264", "")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    assert await refusal(inspector, path, "VIDEO", "video/mp4") is Reason.MEDIA_CORRUPT


async def test_a_frame_with_too_many_pixels_is_refused(
    fork_server: ForkServer, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "a.mp4", "libx264", "")
    async with Inspector(fork_server, max_pixels=1000, children=1) as strict:
        reason = await refusal(strict, path, "VIDEO", "video/mp4")
    assert reason is Reason.PIXEL_LIMIT_EXCEEDED


async def test_the_pixel_limit_applies_to_the_display_size(
    fork_server: ForkServer, tmp_path: Path
) -> None:
    """128 × 72 is 9216 pixels, and 18432 when shown at twice the width."""
    path = make_video(tmp_path / "a.mp4", "libx264", "", aspect=Fraction(2, 1))
    async with Inspector(fork_server, max_pixels=10_000, children=1) as strict:
        reason = await refusal(strict, path, "VIDEO", "video/mp4")
    assert reason is Reason.PIXEL_LIMIT_EXCEEDED


@pytest.mark.parametrize("aspect", [Fraction(60, 1), Fraction(1, 60)])
async def test_an_implausible_pixel_aspect_ratio_is_ignored(
    inspector: Inspector, tmp_path: Path, aspect: Fraction
) -> None:
    path = make_video(tmp_path / "a.mp4", "libx264", "", aspect=aspect)
    info = (await inspector.inspect(path, "VIDEO", "video/mp4")).info
    assert (info.width, info.height) == (128, 72)


@pytest.mark.parametrize("stated", [4.0, 8.0, 30.0, 3600.0, 1e9, 0.01])
async def test_a_false_duration_in_the_header_is_ignored(
    inspector: Inspector, tmp_path: Path, stated: float
) -> None:
    path = make_moving_video(tmp_path / "a.mkv", "-c:v", "libx264", seconds=5)
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # Duration, 8 bytes, in milliseconds
    path.write_bytes(data[:at] + struct.pack(">d", stated * 1000) + data[at + 8 :])
    info = (await inspector.inspect(path, "VIDEO", "video/x-matroska")).info
    assert info.duration_seconds == pytest.approx(5, abs=0.1)


async def test_the_real_duration_of_audio_overrides_its_header(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = ffmpeg(tmp_path / "a.flac", "-f", "lavfi", "-i", "sine=d=20:r=44100")
    data = bytearray(path.read_bytes())
    data[22:26] = struct.pack(">I", 4410)  # the number of samples, in STREAMINFO
    path.write_bytes(data)
    info = (await inspector.inspect(path, "AUDIO", "audio/flac")).info
    assert info.duration_seconds == pytest.approx(20, abs=0.1)


def with_size(size: bytes, at: int) -> Callable[[bytes], bytes]:
    """Writes `size` at a position."""
    return lambda data: data[:at] + size + data[at + len(size) :]


# Audio of which half is quiet, and so has a lower bit rate: (name, quiet first, options, change of
# the file, seconds)
UNTRUE: list[tuple[str, bool, tuple[str, ...], Callable[[bytes], bytes], float]] = [
    ("a.mp3", True, ("-q:a", "4", "-write_xing", "0"), bytes, 40),
    ("a.mp3", False, ("-q:a", "4", "-write_xing", "0"), bytes, 40),
    # The header counts the frames of the first of two joined files, or of a whole one.
    ("a.mp3", True, ("-q:a", "4"), lambda data: data + data, 80),
    ("a.mp3", False, ("-b:a", "64k"), lambda data: data[: len(data) // 2], 20),
    ("a.aac", True, ("-b:a", "128k"), bytes, 40),
    ("a.aac", False, ("-b:a", "128k"), bytes, 40),
    ("a.wav", True, (), with_size(bytes(4), 74), 40),
    ("a.wav", True, (), with_size(b"\xff" * 4, 74), 40),
    ("a.flac", True, (), with_size(bytes(4), 22), 40),
    ("a.flac", True, (), with_size(struct.pack(">I", 30 * 44100), 22), 40),
]


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Forty seconds of which the first half is quiet (True), or the second."""
    quiet, loud = "0.001*sin(2000*t)", "0.5*random(0)"
    made = {}
    for quiet_first, (first, second) in ((True, (quiet, loud)), (False, (loud, quiet))):
        graph = f"aevalsrc='if(lt(t,20),{first},{second})':s=44100:d=40"
        path = tmp_path_factory.mktemp("halves") / "halves.wav"
        made[quiet_first] = ffmpeg(path, "-f", "lavfi", "-i", graph)
    return made


@pytest.mark.parametrize(
    ("name", "quiet_first", "options", "change", "seconds"), UNTRUE, ids=range(len(UNTRUE))
)
async def test_the_duration_of_audio_is_that_of_its_frames(
    inspector: Inspector,
    halves: dict[bool, Path],
    tmp_path: Path,
    name: str,
    quiet_first: bool,
    options: tuple[str, ...],
    change: Callable[[bytes], bytes],
    seconds: float,
) -> None:
    path = ffmpeg(tmp_path / name, "-i", halves[quiet_first], *options)
    path.write_bytes(change(path.read_bytes()))
    info = (await inspector.inspect(path, "AUDIO", TYPES[path.suffix])).info
    assert info.duration_seconds == pytest.approx(seconds, abs=0.15)
    source = AvSource.of(path, TYPES[path.suffix], info)
    ends = await inspector.source_ends(source, Edits(0.0, info.duration_seconds))
    assert ends.audio_track(0) == pytest.approx(seconds, abs=0.15)


async def test_a_video_longer_than_a_week_is_corrupt(inspector: Inspector, tmp_path: Path) -> None:
    slow = ("-vf", "setpts=N*100000/TB", "-fps_mode", "vfr", "-c:v", "libx264")
    path = make_moving_video(tmp_path / "a.mkv", *slow)
    assert await refusal(inspector, path, "VIDEO", "video/x-matroska") is Reason.MEDIA_CORRUPT


@pytest.mark.parametrize(
    ("name", "content_type", "options"),
    [
        ("index_first.mp4", "video/mp4", ["-movflags", "faststart"]),
        ("index_last.mp4", "video/mp4", []),
        ("pieces.mp4", "video/mp4", ["-movflags", "frag_keyframe+empty_moov", "-g", "10"]),
        ("a.mkv", "video/x-matroska", []),
        ("a.webm", "video/webm", ["-c:v", "libvpx"]),
    ],
)
async def test_a_truncated_video_that_starts_to_play_is_corrupt(
    inspector: Inspector, tmp_path: Path, name: str, content_type: str, options: list[str]
) -> None:
    path = make_moving_video(tmp_path / name, "-c:v", "libx264", *options)
    await inspector.inspect(path, "VIDEO", content_type)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(MediaError, match="truncated") as error:
        await inspector.inspect(path, "VIDEO", content_type)
    assert error.value.reason is Reason.MEDIA_CORRUPT


async def test_a_video_with_trailing_data_is_accepted(inspector: Inspector, tmp_path: Path) -> None:
    path = make_moving_video(tmp_path / "a.mp4", "-c:v", "libx264")
    path.write_bytes(path.read_bytes() + bytes(100))
    await inspector.inspect(path, "VIDEO", "video/mp4")


async def test_truncated_audio_is_accepted_with_a_shorter_duration(
    inspector: Inspector, tmp_path: Path
) -> None:
    """An MP3 does not record its length. Broken frames are skipped, as in players."""
    path = make_audio(tmp_path / "a.mp3", "libmp3lame")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    await inspector.inspect(path, "AUDIO", "audio/mpeg")
    path.write_bytes(data[: len(data) // 2] + b"?" * 500 + data[len(data) // 2 :])
    await inspector.inspect(path, "AUDIO", "audio/mpeg")


async def test_a_track_that_appears_late_is_skipped(inspector: Inspector, tmp_path: Path) -> None:
    """Tags of data between the others, in a file that announces video and audio."""
    tracks = ("-f", "lavfi", "-i", "testsrc2=s=64x48:d=2", "-f", "lavfi", "-i", "sine=d=2")
    path = ffmpeg(tmp_path / "a.flv", *tracks)
    data = path.read_bytes()
    before = (await inspector.inspect(path, "VIDEO", "video/x-flv")).info
    # At the last tag of audio: subtitles of one character, behind the announced tracks.
    text = b"\x02\0\x0aonTextData\x08\0\0\0\1\0\4text\2\0\1a\0\0\x09"
    time = int(1.9 * 1000)
    tag = struct.pack(">I", 0x12000000 | len(text)) + struct.pack(">I", time << 8) + bytes(3) + text
    tag += struct.pack(">I", len(tag))
    at = len(data) - 4 - int.from_bytes(data[-4:], "big")
    path.write_bytes(data[:at] + tag + data[at:])
    info = (await inspector.inspect(path, "VIDEO", "video/x-flv")).info
    assert info.duration_seconds == pytest.approx(before.duration_seconds, abs=0.1)


async def test_mp3_frames_of_zeros_are_silence_and_no_fault(
    inspector: Inspector, tmp_path: Path
) -> None:
    """A decoder that ends at the first fault decodes them all."""
    options = ("-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0")
    path = ffmpeg(tmp_path / "a.mp3", "-f", "lavfi", "-i", "sine=d=2:r=48000", *options)
    data, size = path.read_bytes(), 144 * 128 // 48
    frames = [data[at : at + 4] + bytes(size - 4) for at in range(0, len(data), size)]
    path.write_bytes(b"".join(frames))
    strict = ("-xerror", "-err_detect", "explode+crccheck+bitstream")
    decoded = ffmpeg(tmp_path / "a.wav", *strict, "-i", str(path))
    found = [
        (await inspector.inspect(each, "AUDIO", TYPES[each.suffix])).info.duration_seconds
        for each in (path, decoded)
    ]
    assert found == [pytest.approx(2, abs=0.1)] * 2


async def test_an_index_that_points_elsewhere_is_corrupt(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = make_video(tmp_path / "a.mp4", "libx264", "")
    data = bytearray(path.read_bytes())
    chunks = data.index(b"stco") + 8
    (number,) = struct.unpack_from(">I", data, chunks)
    struct.pack_into(f">{number}I", data, chunks + 4, *[0xFFFFFFF0] * number)
    path.write_bytes(data)
    assert await refusal(inspector, path, "VIDEO", "video/mp4") is Reason.MEDIA_CORRUPT


async def test_a_video_without_frames_is_corrupt(inspector: Inspector, tmp_path: Path) -> None:
    path = make_moving_video(tmp_path / "a.mp4", "-frames:v", "0", "-c:v", "libx264")
    assert await refusal(inspector, path, "VIDEO", "video/mp4") is Reason.MEDIA_CORRUPT


async def test_a_video_that_claims_another_codec_is_corrupt(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = make_moving_video(tmp_path / "a.mkv", "-c:v", "mjpeg")
    path.write_bytes(path.read_bytes().replace(b"V_MJPEG", b"V_MPEG2"))
    assert await refusal(inspector, path, "VIDEO", "video/x-matroska") is Reason.MEDIA_CORRUPT


async def test_an_image_with_the_type_of_a_video_is_corrupt(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = tmp_path / "image.mp4"
    make_image().write_to_file(str(path.with_suffix(".png")))
    path.with_suffix(".png").rename(path)
    assert await refusal(inspector, path, "VIDEO", "video/mp4") is Reason.MEDIA_CORRUPT


async def test_an_8k_video_is_inspected(fork_server: ForkServer, tmp_path: Path) -> None:
    fast = ("-c:v", "libx264", "-preset", "ultrafast")
    path = make_moving_video(tmp_path / "a.mp4", *fast, size="7680x4320", seconds=0.04)
    async with Inspector(fork_server, max_pixels=1 << 28, children=1) as inspector:
        info = (await inspector.inspect(path, "VIDEO", "video/mp4")).info
    assert (info.width, info.height) == (7680, 4320)


async def test_a_frame_rate_of_a_million_is_accepted(inspector: Inspector, tmp_path: Path) -> None:
    """The frame rate is reported unchanged. Renditions have their own frame rate."""
    fast = [
        "-vf",
        "settb=1/1000000,setpts=N",
        "-enc_time_base",
        "1/1000000",
        "-bsf:v",
        "setts=duration=1",
    ]
    path = make_moving_video(tmp_path / "a.mp4", *fast, "-fps_mode", "vfr", "-c:v", "libx264")
    info = (await inspector.inspect(path, "VIDEO", "video/mp4")).info
    assert info.frame_rate == pytest.approx(1e6, rel=0.1)
    assert info.duration_seconds == pytest.approx(25e-6, abs=5e-6)


def test_ten_hours_of_audio_are_not_read_in_full(tmp_path: Path) -> None:
    seconds, rate = 36_000, 8000
    size = seconds * rate * 2
    path = tmp_path / "silence.wav"
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVE" + form
    path.write_bytes(head + b"data" + struct.pack("<I", size))
    with path.open("r+b") as file:
        file.truncate(size + 44)
        before = bytes_read()
        found = inspect(file.fileno(), "audio/wav", 1 << 20)
        assert bytes_read() - before < 10 << 20
    assert found["info"]["duration_seconds"] == seconds


def bytes_read() -> int:
    """The bytes that this process has read so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile {}\n",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="0"><BaseURL>{}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>\n",
    "sdp": "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n# {}\n",
}


@pytest.mark.parametrize("playlist", PLAYLISTS.values(), ids=PLAYLISTS)
@pytest.mark.parametrize("content_type", DEMUXERS)
def test_a_playlist_is_never_followed(tmp_path: Path, playlist: str, content_type: str) -> None:
    """A playlist would make the service read files and hosts that the caller chooses."""
    other = make_video(tmp_path / "other.mp4", "libx264", "aac")
    path = tmp_path / "playlist.mp4"
    path.write_text(playlist.format(other))
    with path.open("rb") as reader, pytest.raises(InvalidArgument) as error:
        inspect(reader.fileno(), content_type, 1 << 20)
    assert error.value.reason is Reason.MEDIA_CORRUPT


async def test_the_children_are_healthy_after_all_these_files(
    inspector: Inspector, tmp_path: Path
) -> None:
    path = tmp_path / "noise"
    path.write_bytes(b"\0" * 100_000)
    for content_type in DEMUXERS:
        assert await refusal(inspector, path, "VIDEO", content_type) is Reason.MEDIA_CORRUPT
    await inspector.inspect(make_video(tmp_path / "a.mp4", "libx264", "aac"), "VIDEO", "video/mp4")
