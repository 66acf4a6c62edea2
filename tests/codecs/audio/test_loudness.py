"""Loudness normalization, measured with a different ffmpeg than the service's."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.media.audio import Make, generated, loudness, probed, samples

# Like speech: syllables and pauses, with an occasional click far above them.
SPEECH = (
    "anoisesrc=d=6:c=pink:r={rate}:seed=3:a=0.3,"
    "volume='0.05+0.5*abs(sin(7*t))*gt(sin(1.3*t),-0.5)+3*lt(mod(t,1.7),0.003)':eval=frame"
)
QUIET = "anoisesrc=d=6:c=pink:r=44100:seed=4:a=0.02"
SURROUND = "anoisesrc=d=3:c=pink:r=48000:seed=5:a=0.2,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0"


@pytest.mark.parametrize(
    ("graph", "ops", "lufs", "peak"),
    [
        (QUIET, "normalize:-16", -16, -1),
        (QUIET, "normalize:-23", -23, -1),
        (SPEECH.format(rate=44100), "normalize:-14", -14, -1),
        (SPEECH.format(rate=8000), "normalize:-16:max_peak_dbtp=-3", -16, -3),
        (SPEECH.format(rate=96000), "normalize:-30", -30, -1),
        (SURROUND, "normalize:-23", -23, -1),
        (SURROUND, "normalize:-16,audio:WAV:channels=2", -16, -1),
        (QUIET, "clip:1:4,speed:2,normalize:-20", -20, -1),
    ],
)
async def test_normalized_audio_has_the_target_loudness(
    tmp_path: Path, make: Make, graph: str, ops: str, lufs: float, peak: float
) -> None:
    source = generated(tmp_path / "a.wav", graph)
    made = await make(source, ops)
    found, highest = loudness(made.path)
    assert found == pytest.approx(lufs, abs=0.5)
    assert highest <= peak + 0.1
    before, after = (probed(path)["streams"][0]["sample_rate"] for path in (source, made.path))
    assert before == after


async def test_the_audio_of_a_video_is_normalized(tmp_path: Path, make: Make) -> None:
    audio_options = ("-f", "lavfi", "-i", QUIET, "-c:v", "mpeg4", "-c:a", "aac")
    video = generated(tmp_path / "a.mkv", "testsrc=d=6:s=64x48", *audio_options)
    for codec in ("MP3", "OPUS"):
        made = await make(video, f"normalize:-18,audio:{codec}")
        assert loudness(made.path)[0] == pytest.approx(-18, abs=0.5)


async def test_without_limiting_only_the_gain_changes(tmp_path: Path, make: Make) -> None:
    source = generated(tmp_path / "a.wav", SPEECH.format(rate=44100), "-c:a", "pcm_s24le")
    before, after = samples(source), samples((await make(source, "normalize:-40")).path)
    gain = 10 ** ((-40 - loudness(source)[0]) / 20)
    assert len(after) == len(before)
    wrong = after - before * np.dot(after, before) / np.dot(before, before)
    assert np.abs(wrong).max() < 1e-6
    assert np.dot(after, before) / np.dot(before, before) == pytest.approx(gain, rel=0.02)


async def test_limited_audio_stays_in_sync(tmp_path: Path, make: Make) -> None:
    source = generated(tmp_path / "a.wav", SPEECH.format(rate=44100))
    before, after = samples(source), samples((await make(source, "normalize:-14")).path)
    assert len(after) == len(before)
    shifts = range(-20, 21)
    alike = [np.dot(before[1000:-1000], np.roll(after, shift)[1000:-1000]) for shift in shifts]
    assert shifts[int(np.argmax(alike))] == 0


@pytest.mark.parametrize("graph", ["anullsrc=r=44100:d=3", "sine=f=500:r=44100:d=0.2"])
async def test_audio_without_measurable_loudness_is_unchanged(
    tmp_path: Path, make: Make, graph: str
) -> None:
    source = generated(tmp_path / "a.wav", graph, "-ac", "1")
    made = await make(source, "normalize:-14")
    assert np.array_equal(samples(made.path), samples(source))


async def test_the_peak_limit_takes_precedence_over_the_target_loudness(
    tmp_path: Path, make: Make
) -> None:
    source = generated(tmp_path / "a.wav", "sine=f=500:r=44100:d=3")
    found, highest = loudness((await make(source, "normalize:-5:max_peak_dbtp=-6")).path)
    assert -14 < found < -5
    assert highest <= -5.9
