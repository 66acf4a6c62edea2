"""Transcoding: the output plays in every player, and looks and sounds like the original."""

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import pyvips

from media_service.codecs.image.source import ImageSource
from media_service.codecs.inspection import AudioTrack
from media_service.errors import FailedPrecondition
from tests.support.media.audio import loudness
from tests.support.media.format_files import turn
from tests.support.media.videos import (
    LOGO,
    Studio,
    ffmpeg,
    frame_at,
    generated,
    probe,
    shown,
    similarity,
    stream,
)

FRAME = 1 / 25
RATE = 44100

Samples = npt.NDArray[np.int16]


@pytest.mark.parametrize(
    ("codec", "container", "names", "tag"),
    [
        ("H264", "mov,mp4", ("h264", "aac"), "avc1"),
        ("HEVC", "mov,mp4", ("hevc", "aac"), "hvc1"),
        ("VP9", "matroska,webm", ("vp9", "opus"), ""),
        ("AV1", "mov,mp4", ("av1", "aac"), "av01"),
    ],
)
async def test_each_codec_preserves_video_and_audio(
    studio: Studio, ordinary: Path, codec: str, container: str, names: tuple[str, str], tag: str
) -> None:
    reported: list[float] = []
    tracks = (AudioTrack(codec="aac", language="eng"),)
    made = await studio.make(
        ordinary, f"transcode:{codec}", report=reported.append, audio_tracks=tracks
    )
    about = probe(made)
    video_stream, audio = about["streams"]
    assert about["format"]["format_name"].startswith(container)
    assert (video_stream["codec_name"], audio["codec_name"]) == names
    assert not tag or video_stream["codec_tag_string"] == tag
    assert (video_stream["width"], video_stream["height"]) == (160, 120)
    assert (video_stream["pix_fmt"], video_stream["avg_frame_rate"]) == ("yuv420p", "25/1")
    assert int(video_stream["nb_read_frames"]) == 50
    assert float(about["format"]["duration"]) == pytest.approx(2, abs=FRAME)
    assert similarity(made, ordinary) > 0.95
    assert audio["tags"]["language"] == "eng"
    assert "secret" not in str(about)
    assert reported
    assert all(0 <= part <= 1 for part in reported)
    assert reported == sorted(reported)


async def test_the_index_of_an_mp4_precedes_its_data(studio: Studio, ordinary: Path) -> None:
    data = (await studio.make(ordinary, "transcode")).read_bytes()
    boxes, at = [], 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        boxes.append(name)
        at += size
    assert boxes.index(b"moov") < boxes.index(b"mdat")


async def test_a_pipeline_that_only_edits_is_transcoded(studio: Studio, ordinary: Path) -> None:
    made = await studio.make(ordinary, "mute")
    assert [each["codec_name"] for each in probe(made)["streams"]] == ["h264"]


async def test_transcode_may_precede_edits_in_the_pipeline(studio: Studio, ordinary: Path) -> None:
    made = await studio.make(ordinary, "transcode:max_height=60,clip:1")
    video_stream = stream(made, "video")
    assert (video_stream["height"], int(video_stream["nb_read_frames"])) == (60, 25)


# Properties of originals


@pytest.mark.parametrize("clockwise", [90, 180, 270])
async def test_the_output_is_upright_without_rotation_metadata(
    studio: Studio, tmp_path: Path, clockwise: int
) -> None:
    """The stored frames are white above and black below."""
    stored = "color=black:s=128x72:r=25:d=0.4,drawbox=h=36:color=white:t=fill"
    path = turn(generated(tmp_path / "turned.mp4", stored), clockwise)
    made = await studio.make(path, "transcode")
    video_stream = stream(made, "video")
    size = (128, 72) if clockwise == 180 else (72, 128)
    assert (video_stream["width"], video_stream["height"]) == size
    assert "side_data_list" not in video_stream
    seen = frame_at(made, 0)
    middle = [(seen.width // 2, 4), (seen.width - 4, seen.height // 2)]
    middle += [(seen.width // 2, seen.height - 4), (4, seen.height // 2)]
    # The position of the upper half after the rotation, clockwise from the top.
    white = middle[clockwise // 90]
    assert seen(*white)[0] > 200
    assert seen(*middle[(clockwise // 90 + 2) % 4])[0] < 50


async def test_odd_sizes_are_rounded_to_even_ones(studio: Studio, tmp_path: Path) -> None:
    options = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
    path = generated(tmp_path / "odd.webm", "testsrc2=s=161x121:r=25:d=0.4", "", *options)
    video_stream = stream(await studio.make(path, "transcode"), "video")
    assert (video_stream["width"], video_stream["height"]) == (160, 120)


async def test_the_output_has_square_pixels(studio: Studio, tmp_path: Path) -> None:
    path = generated(tmp_path / "wide.mp4", "testsrc2=s=160x240:r=25:d=0.4,setsar=2")
    video_stream = stream(await studio.make(path, "transcode"), "video")
    assert (video_stream["width"], video_stream["height"]) == (320, 240)
    assert video_stream["sample_aspect_ratio"] == "1:1"


async def test_the_output_is_never_larger_than_the_original(studio: Studio, ordinary: Path) -> None:
    video_stream = stream(await studio.make(ordinary, "transcode:max_height=1080"), "video")
    assert (video_stream["width"], video_stream["height"]) == (160, 120)


async def test_the_shorter_side_has_the_requested_size(studio: Studio, tmp_path: Path) -> None:
    path = generated(tmp_path / "tall.mp4", "testsrc2=s=180x320:r=25:d=0.4")
    video_stream = stream(await studio.make(path, "transcode:max_height=90"), "video")
    assert (video_stream["width"], video_stream["height"]) == (90, 160)


async def test_a_variable_frame_rate_becomes_constant_without_losing_frames(
    studio: Studio, tmp_path: Path
) -> None:
    """Thirty frames in the first second, then five per second: ten on average."""
    uneven = "testsrc2=s=160x120:r=30:d=5,select='lt(t,1)+not(mod(n,6))'"
    options = ("-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast")
    path = generated(tmp_path / "uneven.mp4", uneven, "", *options)
    made = await studio.make(path, "transcode", variable_frame_rate=True)
    video_stream = stream(made, "video")
    assert Fraction(video_stream["avg_frame_rate"]) == 30
    assert float(video_stream["duration"]) == pytest.approx(5, abs=0.2)
    log = ffmpeg("-t", "1", "-i", str(made), "-vf", "mpdecimate=max=0", "-f", "null", "-")
    assert int(log.rsplit("frame=", 1)[1].split()[0]) >= 29


async def test_surround_audio_is_mixed_to_stereo(studio: Studio, tmp_path: Path) -> None:
    """Only the front center channel has audio. Both stereo channels contain it."""
    silence = "|".join(["0", "0", "0.5*sin(440*2*PI*t)", "0", "0", "0"])
    audio = f"aevalsrc='{silence}':c=5.1:d=1"
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
    path = generated(tmp_path / "around.mp4", "testsrc2=s=64x48:r=5:d=1", audio, *options)
    for codec in ("H264", "VP9"):
        made = await studio.make(path, f"transcode:{codec}")
        assert stream(made, "audio")["channels"] == 2
        log = ffmpeg("-i", str(made), "-af", "astats=measure_overall=none", "-f", "null", "-")
        levels = [float(line.split()[-1]) for line in log.splitlines() if "RMS level" in line]
        assert levels[0] == pytest.approx(levels[1], abs=0.5)
        assert levels[0] > -25


async def test_surround_audio_is_mixed_to_stereo_at_the_target_loudness(
    studio: Studio, tmp_path: Path
) -> None:
    channels = "|".join(f"0.2*random({n})-0.1" for n in range(6))
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-b:a", "384k")
    audio = f"aevalsrc='{channels}':c=5.1:d=3"
    path = generated(tmp_path / "around.mp4", "testsrc2=s=64x48:r=5:d=3", audio, *options)
    for lufs in (-23, -12):
        made = await studio.make(path, f"normalize:{lufs},transcode:audio_bit_rate_kbps=256")
        assert loudness(made)[0] == pytest.approx(lufs, abs=0.7)


async def test_hdr_video_is_tone_mapped_to_sdr(studio: Studio, tmp_path: Path) -> None:
    """From the left: paper white (203 cd/m²), black, and a highlight (1000 cd/m², PQ)."""
    hdr = (
        "color=black:s=192x64:r=25:d=0.4,format=yuv420p10le,"
        "geq=lum='if(lt(X,64),573,if(lt(X,128),64,723))':cb=512:cr=512,"
        "setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"
    )
    options = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error")
    path = generated(tmp_path / "hdr.mp4", hdr, "", *options)
    assert stream(path, "video")["color_transfer"] == "smpte2084"
    made = await studio.make(path, "transcode", dynamic_range="HDR_PQ")
    video_stream = stream(made, "video")
    assert video_stream["pix_fmt"] == "yuv420p"
    assert {video_stream[f"color_{each}"] for each in ("transfer", "primaries", "space")} == {
        "bt709"
    }
    seen = frame_at(made, 0)
    paper, black, lamp = (seen(x, 32) for x in (32, 96, 160))
    assert max(black) < 12
    assert 120 < paper[1] < 245
    assert paper[1] < lamp[1] <= 255
    assert max(paper) - min(paper) < 6, "gray stays gray"


async def test_the_bit_rate_stays_within_its_limit(studio: Studio, tmp_path: Path) -> None:
    noise = "color=gray:s=160x120:r=25:d=3,noise=c0s=100:c0f=t+u"
    path = generated(tmp_path / "noise.mp4", noise)
    made = await studio.make(path, "transcode:video_bit_rate_kbps=200")
    assert int(stream(made, "video")["bit_rate"]) < 400_000
    made = await studio.make(path, "transcode")
    assert int(stream(made, "video")["bit_rate"]) < 800_000, "the profile of 240 says 400"


async def test_every_audio_track_keeps_its_language(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "both.mp4"
    inputs = [
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=5:d=1"),
        *("-f", "lavfi", "-i", "sine=440:d=1", "-f", "lavfi", "-i", "sine=880:d=1"),
    ]
    ffmpeg(*inputs, "-map", "0", "-map", "1", "-map", "2", "-c:a", "aac", str(path))
    tracks = tuple(AudioTrack(codec="aac", language=language) for language in ("eng", "deu"))
    made = probe(await studio.make(path, "transcode", audio_tracks=tracks))
    audio_streams = [each for each in made["streams"] if each["codec_type"] == "audio"]
    assert [each["tags"]["language"] for each in audio_streams] == ["eng", "deu"]


async def test_an_audio_track_of_an_unknown_codec_is_left_out(
    studio: Studio, tmp_path: Path
) -> None:
    """Phones write such tracks in addition to the usual one. Here it is the first of three."""
    path = tmp_path / "phone.mkv"
    inputs = [
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=5:d=1", "-f", "lavfi", "-i", "sine=220:d=1"),
        *("-f", "lavfi", "-i", "sine=440:d=1", "-f", "lavfi", "-i", "sine=880:d=1"),
    ]
    codecs = ("-c:a:0", "ac3", "-c:a:1", "aac", "-c:a:2", "aac")
    languages = ("-metadata:s:a:1", "language=eng", "-metadata:s:a:2", "language=deu")
    maps = ("-map", "0", "-map", "1", "-map", "2", "-map", "3")
    ffmpeg(*inputs, *maps, *codecs, *languages, str(path))
    path.write_bytes(path.read_bytes().replace(b"A_AC3", b"A_???"))
    made = probe(await studio.make(path, "normalize:-20,transcode"))
    audio_streams = [each for each in made["streams"] if each["codec_type"] == "audio"]
    assert [each["tags"]["language"] for each in audio_streams] == ["eng", "deu"]
    audio = await studio.make(path, "audio:FLAC")
    assert pitch(heard(audio), after=0.3) == pytest.approx(440, rel=0.03)
    assert stream(await studio.make(path, "waveform:PNG"), "video")["codec_name"] == "png"


# Edits


async def test_a_clip_starts_and_ends_with_the_right_frame(studio: Studio, tmp_path: Path) -> None:
    gray = "nullsrc=s=64x48:r=25:d=2,geq=lum=20+4*N:cb=128:cr=128"
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "5", "-g", "250")
    path = generated(tmp_path / "gray.mp4", gray, "", *options)
    made = await studio.make(path, "clip:0.8:1.2")
    assert int(stream(made, "video")["nb_read_frames"]) == 10
    for frame in (0, 9):
        expected = (4 * (20 + frame) + 4) / 219 * 255
        assert frame_at(made, frame / 25)(32, 24)[0] == pytest.approx(expected, abs=2.5)


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("a.ts", ("-c:v", "libx264", "-preset", "ultrafast", "-sc_threshold", "0", "-c:a", "aac")),
        ("a.mpg", ("-c:v", "mpeg2video", "-sc_threshold", "1000000000", "-c:a", "mp2")),
    ],
)
async def test_a_clip_is_exact_without_an_index_of_key_frames(
    studio: Studio, tmp_path: Path, name: str, codecs: tuple[str, ...]
) -> None:
    """Each second is brighter and its tone higher. Key frames are ten seconds apart."""
    path = generated(
        tmp_path / name,
        "nullsrc=s=8x8:r=25:d=28,geq=lum='20+8*floor(T)+4*random(1)':cb=128:cr=128,scale=64:48",
        "aevalsrc='0.5*sin(2*PI*100*(2+floor(t))*t)':s=44100:d=28",
        *(*codecs, "-crf", "5", "-q:v", "2", "-g", "250"),
    )
    made = await studio.make(path, "clip:17:22")
    assert int(stream(made, "video")["nb_read_frames"]) == 125
    assert float(probe(made)["format"]["duration"]) == pytest.approx(5, abs=0.1)
    brightness, audio = grays(made), heard(made)
    for second in range(5):
        seen = brightness[second * 25 + 12]
        assert seen == pytest.approx((6 + 8 * (17 + second)) / 219 * 255, abs=3)
        assert pitch(audio, after=second + 0.3) == pytest.approx(100 * (19 + second), rel=0.02)
    seen = shown(await studio.make(path, "frame:17")).avg()
    assert seen == pytest.approx((6 + 8 * 17) / 219 * 255, abs=3)


def grays(video: Path) -> list[float]:
    """The average brightness of each frame, from 0 to 255."""
    raw = video.with_suffix(".gray")
    ffmpeg("-i", str(video), "-an", "-s", "8x8", "-pix_fmt", "gray", "-f", "rawvideo", str(raw))
    return list(np.frombuffer(raw.read_bytes(), np.uint8).reshape(-1, 64).mean(axis=1))


def lasting(path: Path, video_stream: float, audio: float) -> Path:
    """A video whose video and audio tracks end at different times."""
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
    seen = f"testsrc2=s=64x48:r=25:d={video_stream}"
    return generated(path, seen, f"sine=440:d={audio}", *options)


async def test_a_clip_after_the_end_of_the_audio_has_no_audio_track(
    studio: Studio, tmp_path: Path
) -> None:
    path = lasting(tmp_path / "quiet.mp4", 6, 2)
    made = probe(await studio.make(path, "clip:3:5,normalize,transcode"))
    assert [each["codec_name"] for each in made["streams"]] == ["h264"]
    assert float(made["format"]["duration"]) == pytest.approx(2, abs=FRAME)
    for ops in ("clip:3:5,audio:AAC", "clip:3:5,waveform"):
        with pytest.raises(FailedPrecondition, match="audio track is empty") as refused:
            await studio.make(path, ops)
        assert refused.value.reason == "OPERATION_NOT_APPLICABLE"


ENDS = ("transcode", "mute,transcode", "frame", "frame:0", "frames", "storyboard")


@pytest.fixture(scope="module")
def dark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video whose audio track lasts four seconds longer."""
    return lasting(tmp_path_factory.mktemp("dark") / "dark.mp4", 2, 6)


@pytest.mark.parametrize("end", [*ENDS, "preview", "preview:3:format=GIF"])
async def test_a_clip_after_the_end_of_the_video_track_is_refused(
    studio: Studio, dark: Path, end: str
) -> None:
    with pytest.raises(FailedPrecondition, match="video track is empty") as refused:
        await studio.make(dark, f"clip:3:5,{end}")
    assert refused.value.reason == "OPERATION_NOT_APPLICABLE"


@pytest.fixture(scope="module")
def flash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After one second the video turns white and a tone of 441 Hz starts."""
    return generated(
        tmp_path_factory.mktemp("flash") / "flash.mp4",
        "color=black:s=64x48:r=25:d=2,drawbox=color=white:t=fill:enable='gte(t,1)'",
        "aevalsrc='if(gte(t,1),0.5*sin(441*2*PI*t),0)':d=2:s=44100",
        *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"),
    )


@pytest.mark.parametrize("factor", [0.25, 0.5, 2, 4])
async def test_audio_and_video_stay_in_sync_at_any_speed(
    studio: Studio, flash: Path, factor: float
) -> None:
    made = await studio.make(flash, f"speed:{factor}")
    assert float(probe(made)["format"]["duration"]) == pytest.approx(2 / factor, abs=0.1)
    find = ("-vf", "blackdetect=d=0.1", "-af", "silencedetect=n=-30dB:d=0.1", "-f", "null", "-")
    log = ffmpeg("-i", str(made), *find)
    white = float(log.split("black_end:")[1].split()[0])
    tone = float(log.split("silence_end:")[1].split()[0])
    assert white == pytest.approx(1 / factor, abs=FRAME)
    # The tempo filter works on segments of some hundredths of a second of the original.
    assert tone == pytest.approx(white, abs=max(0.06, 0.04 / factor))
    assert pitch(heard(made), after=white + 0.1) == pytest.approx(441, rel=0.03)


def heard(video: Path) -> Samples:
    """The samples of the only audio track."""
    raw = video.with_suffix(".raw")
    ffmpeg("-i", str(video), "-vn", "-ac", "1", "-ar", f"{RATE}", "-f", "s16le", str(raw))
    return np.frombuffer(raw.read_bytes(), "<i2")


def pitch(decoded: Samples, after: float) -> float:
    """The frequency of a tone: upward zero crossings per second."""
    part = decoded[round(after * RATE) :][: round(0.3 * RATE)]
    rises = np.count_nonzero((part[:-1] < 0) & (part[1:] >= 0))
    return float(rises / (len(part) / RATE))


async def test_a_clip_after_a_speed_change_counts_playback_time(
    studio: Studio, ordinary: Path
) -> None:
    made = await studio.make(ordinary, "speed:2,clip:0.2:0.6")
    assert int(stream(made, "video")["nb_read_frames"]) == 10
    with pytest.raises(FailedPrecondition) as refused:
        await studio.make(ordinary, "speed:2,clip:1.5")
    assert refused.value.reason == "OPERATION_NOT_APPLICABLE"


async def test_a_watermark_has_the_same_position_as_in_an_image(
    studio: Studio, tmp_path: Path
) -> None:
    logo = tmp_path / "logo.png"
    pyvips.Image.black(40, 20).bandjoin([0, 0]).linear(0, [255, 0, 0]).cast("uchar").pngsave(
        str(logo)
    )
    path = generated(tmp_path / "dark.mp4", "color=blue:s=320x240:r=25:d=0.4")
    overlays = {LOGO: ImageSource(logo, "image/png", 40, 20)}
    mark = f"watermark:{LOGO}:gravity=NORTH_WEST:scale=0.25:margin=20"
    made = frame_at(await studio.make(path, mark, overlays), 0)
    # 80 × 40 pixels at (20, 20).
    for place, red in {(30, 30): True, (90, 50): True, (10, 30): False, (110, 30): False}.items():
        assert (made(*place)[0] > 200) is red, place
    half = frame_at(
        await studio.make(path, f"{mark}:opacity=0.5,transcode:max_height=120", overlays), 0
    )
    assert half(30, 20)[0] == pytest.approx(128, abs=15)
    assert half(30, 20)[2] == pytest.approx(128, abs=15)
    assert half(80, 20)[0] < 30
    seen = shown(await studio.make(path, f"watermark:{LOGO}:tile,frame:0", overlays))
    assert seen(20, 20)[0] > 200
    assert seen(300, 220)[2] + seen(300, 220)[0] >= 250


async def test_a_file_without_a_video_track_cannot_be_transcoded(
    studio: Studio, tmp_path: Path
) -> None:
    path = tmp_path / "audio.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=440:d=1", "-c:a", "aac", str(path))
    with pytest.raises(FailedPrecondition) as refused:
        await studio.make(path, "transcode")
    assert refused.value.reason == "OPERATION_NOT_APPLICABLE"


async def test_a_webm_video_may_outlast_its_audio(studio: Studio) -> None:
    """The audio ends before the last key frame of the result."""
    path = generated(
        *(studio.folder / "a.mp4", "testsrc2=s=64x48:r=5:d=23", "sine=d=2"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"),
    )
    made = await studio.make(path, "transcode:VP9")
    assert float(probe(made)["format"]["duration"]) == pytest.approx(23, abs=0.2)
