"""Waveforms, as peaks for players and as images."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.inspection import AudioInfo
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.video.source import AvSource
from media_service.media.model import Kind
from tests.support.media.audio import Make, generated, samples

NOISE = "anoisesrc=d=3.07:r={rate}:a=0.9:seed=7,volume='abs(sin(2*t))':eval=frame"


async def read(make: Make, source: Path, ops: str) -> Any:
    made = await make(source, ops)
    assert made.content_type == "application/json"
    found = json.loads(made.path.read_bytes())
    assert (found["version"], found["channels"], found["bits"]) == (2, 1, 8)
    assert len(found["data"]) == 2 * found["length"]  # peaks.js refuses anything else
    return found


def expected(decoded: np.ndarray, each: int) -> list[int]:
    """The value that audiowaveform computes with 16 bits: an integer quotient, truncated."""
    values = []
    for begin in range(0, len(decoded), each):
        piece = decoded[begin : begin + each]
        values += [int(int(piece.min()) / 256), int(int(piece.max()) / 256)]
    return values


@pytest.mark.parametrize(
    ("rate", "points", "each"), [(44100, 20, 2205), (8000, 500, 16), (48000, 7, 6857)]
)
async def test_each_point_holds_the_smallest_and_the_largest_sample(
    tmp_path: Path, make: Make, rate: int, points: int, each: int
) -> None:
    source = generated(tmp_path / "a.wav", NOISE.format(rate=rate), "-ac", "1")
    found = await read(make, source, f"waveform:points_per_second={points}")
    decoded = np.rint(samples(source, rate) * 32768).astype(int)
    assert (found["sample_rate"], found["samples_per_pixel"]) == (rate, each)
    assert found["data"] == expected(decoded, each)
    assert min(found["data"]) < -100


async def test_channels_are_mixed_into_one(tmp_path: Path, make: Make) -> None:
    left = "aevalsrc='0.8*sin(2*PI*300*t)|0':s=44100:d=2"
    found = await read(make, generated(tmp_path / "a.wav", left), "waveform")
    assert max(found["data"]) == pytest.approx(0.4 * 128, abs=1)
    against = "aevalsrc='0.8*sin(2*PI*300*t)|-0.8*sin(2*PI*300*t)':s=44100:d=2"
    found = await read(make, generated(tmp_path / "b.wav", against), "waveform")
    assert set(found["data"]) == {0}
    surround = "aevalsrc='0.9|0.9|0.9|0|0.9|0.9':c=5.1:s=44100:d=1"
    found = await read(make, generated(tmp_path / "c.wav", surround), "waveform")
    assert max(found["data"]) == pytest.approx(0.9 * 128, abs=2)


async def test_the_waveform_shows_the_edited_audio(tmp_path: Path, make: Make) -> None:
    steps = "aevalsrc='0.1*(1+floor(t))*sin(2*PI*300*t)':s=44100:d=8"
    source = generated(tmp_path / "a.flac", steps)
    found = await read(make, source, "clip:4:6,speed:2,waveform:points_per_second=10")
    assert found["length"] == pytest.approx(10, abs=1)
    assert found["data"][3] == pytest.approx(0.5 * 128, abs=4)
    louder = await read(make, source, "normalize:-30,waveform")
    assert max(louder["data"]) < 20


async def test_long_silence_takes_little_memory(tmp_path: Path, make: Make) -> None:
    """Twenty minutes, whose samples alone are 19 MB."""
    source = generated(tmp_path / "a.flac", "anullsrc=r=8000:cl=mono:d=1200")
    tracemalloc.start()
    try:
        found = await read(make, source, "waveform:points_per_second=2")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found["length"] == 2400
    assert set(found["data"]) == {0}
    assert most < 16 << 20


async def test_audio_longer_than_its_header_states_takes_no_extra_memory(
    tmp_path: Path, av_renderer: AvRenderer
) -> None:
    """Ten minutes of rising loudness, whose header states a tenth of a second."""
    path = generated(tmp_path / "a.flac", "aevalsrc='t/600*sin(2*PI*300*t)':s=8000:d=600")
    info = AudioInfo(duration_seconds=0.1, audio_codec="flac", audio_sample_rate_hz=8000)
    source = AvSource.of(path, "audio/flac", info)
    steps = find_route(stored_pipeline("waveform:PNG:width=300:height=200"), Kind.AUDIO).steps
    tracemalloc.start()
    try:
        async with av_renderer.render(source, steps, {}, lambda _: None, name="made") as (made,):
            _, most = tracemalloc.get_traced_memory()
            image = np.array(Image.open(made.path).convert("RGBA"))
    finally:
        tracemalloc.stop()
    assert most < 8 << 20  # the samples alone are 9.6 MB
    heights = (image[..., 3] > 127).sum(axis=0)
    assert heights == pytest.approx(np.arange(300) / 300 * 200, abs=2)


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """One second of silence, then one second at full loudness."""
    return generated(tmp_path / "a.wav", "aevalsrc='gte(t,1)*sin(2*PI*300*t)':s=44100:d=2")


@pytest.mark.parametrize(("form", "content_type"), [("PNG", "image/png"), ("WEBP", "image/webp")])
async def test_the_image_shows_the_loudness(
    halves: Path, make: Make, form: str, content_type: str
) -> None:
    made = await make(halves, f"waveform:{form}:width=301:height=101:color=c00")
    assert (made.content_type, made.width, made.height) == (content_type, 301, 101)
    image = Image.open(made.path)
    assert (image.format, image.size) == (form, (301, 101))
    pixels = np.array(image.convert("RGBA"))
    covered = pixels[..., 3] > 127
    assert set(covered[:, :149].sum(axis=0)) == {1}  # a line
    assert covered[50, :149].all()
    assert set(covered[:, 152:].sum(axis=0)) <= {100, 101}
    assert (pixels[50, 200] == (204, 0, 0, 255)).all()
    assert pixels[0, 0, 3] == 0


async def test_the_image_has_the_requested_background(halves: Path, make: Make) -> None:
    made = await make(halves, "waveform:PNG:width=16:height=2000:color=ff000080:background=0000ff")
    pixels = np.array(Image.open(made.path).convert("RGBA"))
    assert pixels.shape == (2000, 16, 4)
    assert (pixels[0, 0] == (0, 0, 255, 255)).all()
    assert pixels[1000, 12] == pytest.approx((128, 0, 127, 255), abs=1)


async def test_a_short_track_fills_the_width_of_the_image(tmp_path: Path, make: Make) -> None:
    source = generated(tmp_path / "a.wav", "sine=f=1000:r=44100:d=0.01")
    made = await make(source, "waveform:PNG:width=1200:height=100")
    covered = np.array(Image.open(made.path).convert("RGBA"))[..., 3]
    assert covered.any(axis=0).all()
