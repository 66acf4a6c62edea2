"""The measurements on which other tests rely are right."""

from fractions import Fraction
from pathlib import Path

import pytest

from tests.support.media.measurements import likeness, loudness, probe, sync_offsets
from tests.support.media.player_videos import H264, RATE, SECONDS, ffmpeg, flashes, mp4


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mp4(tmp_path_factory.mktemp("video")) / "video.mp4"


def test_streams_are_counted(video: Path) -> None:
    probed = probe(video)
    assert probed.duration == pytest.approx(SECONDS, abs=0.05)
    track, audio = probed.only("video"), probed.only("audio")
    assert (track.codec, track.width, track.height) == ("h264", 640, 360)
    assert (track.frames, track.rate) == (SECONDS * RATE, Fraction(RATE))
    assert (audio.codec, audio.sample_rate, audio.channels) == ("aac", 48000, 1)
    assert audio.duration == pytest.approx(SECONDS, abs=0.05)


def test_frames_are_counted_by_decoding(video: Path, tmp_path: Path) -> None:
    """The index of a truncated video still declares its full length."""
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    assert probe(cut).only("video").frames < SECONDS * RATE


@pytest.fixture(scope="module")
def source(video: Path) -> Path:
    """A second of the video."""
    ffmpeg("-i", "video.mp4", "-t", "1", "-c", "copy", "source.mp4", folder=video.parent)
    return video.with_name("source.mp4")


def made(source: Path, folder: Path, *how: str) -> Path:
    ffmpeg("-i", str(source), *how, "-an", "made.mp4", folder=folder)
    return folder / "made.mp4"


def test_an_identical_copy_scores_the_maximum(source: Path, tmp_path: Path) -> None:
    same = likeness(made(source, tmp_path, "-c", "copy"), source)
    assert same.psnr == 60
    assert same.ssim == pytest.approx(1)
    assert same.vmaf > 95


def test_a_poor_copy_scores_lower(source: Path, tmp_path: Path) -> None:
    poor = made(source, tmp_path, "-vf", "scale=320:-2", *H264, "-crf", "40")
    less = likeness(poor, source)
    assert less.psnr < 30
    assert less.ssim < 0.9
    assert less.vmaf < 60


def test_delayed_frames_score_lower(source: Path, tmp_path: Path) -> None:
    late = made(source, tmp_path, "-vf", "tpad=start=3", *H264, "-crf", "10")
    assert likeness(late, source).vmaf < 60


@pytest.mark.parametrize("decibels", [-23, -14])
def test_a_tone_is_measured_at_its_known_loudness(tmp_path: Path, decibels: int) -> None:
    # A sine of 997 Hz at 0 dBFS in one channel has -3.01 LUFS (ITU-R BS.1770).
    tone = f"aevalsrc='sin(2*PI*997*t)':s=48000:d=5,volume={decibels + 3.01}dB"
    ffmpeg("-f", "lavfi", "-i", tone, "tone.wav", folder=tmp_path)
    measured = loudness(tmp_path / "tone.wav")
    assert measured.integrated == pytest.approx(decibels, abs=0.15)
    assert measured.true_peak == pytest.approx(decibels + 3, abs=0.15)
    assert measured.range == pytest.approx(0, abs=0.1)


def test_flashes_and_beeps_are_measured_in_sync(tmp_path: Path) -> None:
    offsets = sync_offsets(flashes(tmp_path, seconds=5))
    assert len(offsets) == 5
    assert offsets == pytest.approx([0] * 5, abs=0.02)


def test_late_audio_is_detected(tmp_path: Path) -> None:
    offsets = sync_offsets(flashes(tmp_path, seconds=5, audio_filter="adelay=150"))
    assert offsets == pytest.approx([0.15] * 5, abs=0.02)


def test_drifting_audio_is_detected(tmp_path: Path) -> None:
    slower = "asetrate=47500,aresample=48000"
    offsets = sync_offsets(flashes(tmp_path, seconds=5, audio_filter=slower))
    assert offsets == pytest.approx([n * (48000 / 47500 - 1) for n in range(5)], abs=0.02)


def test_a_missing_beep_is_detected(tmp_path: Path) -> None:
    video = flashes(tmp_path, seconds=5, audio_filter="volume=0:enable='between(t,2.5,3.5)'")
    with pytest.raises(AssertionError, match="beeps at"):
        sync_offsets(video)
