"""Audio encoding and edits: clips, speed, silence removal."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.inspection import AudioInfo
from media_service.codecs.inspector import Inspector
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.video.source import AvSource
from media_service.errors import FailedPrecondition, InvalidArgument, Reason
from media_service.media.model import Kind
from tests.support.media.audio import Make, generated, inspected, pitch, probed, samples
from tests.support.tools import eventually_async

# The frequency identifies the second: 1000 Hz in the first, 2000 Hz in the next, and so on.
STEPS = "aevalsrc=0.3*sin(2*PI*1000*(1+floor(t))*t):s=44100:d=8"
SURROUND = "sine=f=500:r=48000:d=1,pan=5.1(side)|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0"
CODECS = {
    "MP3": ("mp3", "mp3", "audio/mpeg"),
    "AAC": ("aac", "mov,mp4,m4a,3gp,3g2,mj2", "audio/mp4"),
    "OPUS": ("opus", "ogg", "audio/ogg"),
    "FLAC": ("flac", "flac", "audio/flac"),
    "WAV": ("pcm_s16le", "wav", "audio/wav"),
}


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MP3 with many tags and a cover image."""
    path = tmp_path_factory.mktemp("song") / "song.mp3"
    cover = ("-f", "lavfi", "-i", "color=red:s=64x64:d=0.04", "-c:v", "mjpeg")
    tags = ("-metadata", "title=Secret", "-metadata", "artist=Jane Doe")
    return generated(path, STEPS, *cover, "-map", "0", "-map", "1", *tags, "-b:a", "192k")


@pytest.mark.parametrize("codec", CODECS)
async def test_audio_is_encoded_as_requested_without_metadata(
    song: Path, make: Make, codec: str
) -> None:
    made = await make(song, f"audio:{codec}:96")
    found = probed(made.path)
    name, container, content_type = CODECS[codec]
    (stream,) = found["streams"]  # no cover
    assert (stream["codec_name"], found["format"]["format_name"]) == (name, container)
    assert (made.content_type, stream["channels"]) == (content_type, 1)
    assert float(found["format"]["duration"]) == pytest.approx(8, abs=0.1)
    text = json.dumps(found).lower()
    assert "secret" not in text
    assert "jane" not in text
    assert pitch(samples(made.path)[44100 * 3 : 44100 * 4]) == pytest.approx(4000, abs=5)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("graph", "channels", "rate"), [(SURROUND, 6, 48000), ("sine=f=500:r=8000:d=1", 1, 8000)]
)
async def test_every_codec_encodes_surround_and_telephone_audio(
    tmp_path: Path, make: Make, codec: str, graph: str, channels: int, rate: int
) -> None:
    source = generated(tmp_path / "a.wav", graph)
    made = await make(source, f"audio:{codec}:512")
    (stream,) = probed(made.path)["streams"]
    assert stream["channels"] == (2 if (codec, channels) == ("MP3", 6) else channels)
    assert stream["sample_rate"] == ("48000" if codec == "OPUS" else str(rate))
    assert pitch(samples(made.path)[8000:40000]) == pytest.approx(500, abs=3)


@pytest.mark.parametrize(("ops", "channels"), [("audio:FLAC:channels=1", 1), ("audio:FLAC", 6)])
async def test_channels_are_mixed_on_request(
    tmp_path: Path, make: Make, ops: str, channels: int
) -> None:
    made = await make(generated(tmp_path / "a.wav", SURROUND), ops)
    assert probed(made.path)["streams"][0]["channels"] == channels


@pytest.mark.parametrize("codec", ["FLAC", "WAV"])
async def test_lossless_codecs_keep_every_sample(tmp_path: Path, make: Make, codec: str) -> None:
    noise = "anoisesrc=d=1:r=96000:a=0.5:seed=1"
    source = generated(tmp_path / "a.wav", noise, "-c:a", "pcm_s24le")
    made = await make(source, f"audio:{codec}")
    assert np.array_equal(samples(made.path, 96000), samples(source, 96000))


async def test_an_m4a_begins_with_its_index(song: Path, make: Make) -> None:
    data = (await make(song, "audio:AAC")).path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("name", "options", "codec", "kbps"),
    [
        ("a.mp3", ("-b:a", "256k"), "mp3", 256),
        ("a.m4a", ("-b:a", "96k"), "aac", 96),
        ("a.wav", (), "pcm_s16le", 705),
        ("a.flac", (), "flac", None),
        ("a.ogg", ("-c:a", "libvorbis"), "mp3", None),
    ],
)
async def test_an_edit_keeps_codec_and_bit_rate(
    tmp_path: Path, make: Make, name: str, options: tuple[str, ...], codec: str, kbps: int | None
) -> None:
    noise = "anoisesrc=d=5:r=44100:a=0.5"
    made = await make(generated(tmp_path / name, noise, *options), "clip:1:4")
    found = probed(made.path)
    assert found["streams"][0]["codec_name"] == codec
    assert float(found["format"]["duration"]) == pytest.approx(3, abs=0.08)
    if kbps:
        assert int(found["format"]["bit_rate"]) == pytest.approx(kbps * 1000, rel=0.15)


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.ogg", "a.flac", "a.wav"])
async def test_a_clip_holds_the_audio_between_its_times(
    tmp_path: Path, make: Make, name: str
) -> None:
    made = await make(generated(tmp_path / name, STEPS), "clip:2:5,audio:WAV")
    decoded = samples(made.path)
    assert len(decoded) / 44100 == pytest.approx(3, abs=0.001)
    heard = [pitch(decoded[44100 * n + 2205 : 44100 * (n + 1) - 2205]) for n in range(3)]
    assert heard == pytest.approx([3000, 4000, 5000], abs=3)


@pytest.mark.parametrize(
    ("ops", "factor"), [("speed:4", 4), ("speed:4,speed:2", 8), ("speed:0.25", 0.25)]
)
async def test_faster_audio_keeps_its_pitch(
    tmp_path: Path, make: Make, ops: str, factor: float
) -> None:
    source = generated(tmp_path / "a.wav", "sine=f=440:r=44100:d=8")
    decoded = samples((await make(source, ops)).path)
    assert len(decoded) / 44100 == pytest.approx(8 / factor, abs=0.1)
    middle = len(decoded) // 2
    assert pitch(decoded[middle - 8820 : middle + 8820]) == pytest.approx(440, abs=5)


# Seconds of silence between tones of one second each: 2, tone, 3, tone, 0.3, tone, 2.
PAUSES = "between(t,2,3)+between(t,6,7)+between(t,7.3,8.3)"


def runs(decoded: np.ndarray) -> list[tuple[bool, float]]:
    """Runs of audio and silence, with their lengths in seconds."""
    blocks = decoded[: len(decoded) // 441 * 441].reshape(-1, 441)
    loud = np.abs(blocks).max(axis=1) > 0.01
    edges = [0, *(np.flatnonzero(np.diff(loud)) + 1), len(loud)]
    return [(bool(loud[a]), (b - a) / 100) for a, b in pairwise(edges)]


async def test_silence_is_removed_at_both_ends_and_in_between(tmp_path: Path, make: Make) -> None:
    graph = f"aevalsrc='0.3*sin(2*PI*440*t)*({PAUSES})':s=44100:d=10.3"
    source = generated(tmp_path / "a.wav", graph)
    found = runs(samples((await make(source, "remove_silence:-50:0.5")).path))
    assert [loud for loud, _ in found] == [False, True, False, True, False, True, False]
    expected = [0.5, 1, 0.5, 1, 0.3, 1, 0.5]
    assert [seconds for _, seconds in found] == pytest.approx(expected, abs=0.04)
    later = samples((await make(source, "remove_silence:-50:0.5,clip:0.5:1.5,speed:2")).path)
    assert [loud for loud, _ in runs(later)] == [True]
    assert len(later) / 44100 == pytest.approx(0.5, abs=0.05)


async def test_noise_below_the_threshold_counts_as_silence(tmp_path: Path, make: Make) -> None:
    noise = "anoisesrc=d=4:r=44100:a=0.003,volume='if(between(t,2,3),100,1)':eval=frame"
    source = generated(tmp_path / "a.wav", noise)
    kept = samples((await make(source, "remove_silence:-40:0.2")).path)
    assert len(kept) / 44100 == pytest.approx(1.4, abs=0.1)
    all_kept = samples((await make(source, "remove_silence:-90:0.2")).path)
    assert len(all_kept) / 44100 == pytest.approx(4, abs=0.01)


async def test_removing_silence_from_a_silent_file_is_refused(tmp_path: Path, make: Make) -> None:
    source = generated(tmp_path / "a.wav", "anullsrc=r=44100", "-t", "2")
    with pytest.raises(FailedPrecondition) as refused:
        await make(source, "clip:0.1,remove_silence,clip:1")
    assert refused.value.reason is Reason.OPERATION_NOT_APPLICABLE


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of video with two audio tracks. The first track begins after half a second."""
    path = tmp_path_factory.mktemp("video") / "video.mkv"
    inputs = ("-f", "lavfi", "-i", "sine=f=880:d=2", "-itsoffset", "0.5")
    output_order = ("-f", "lavfi", "-i", "sine=f=440:r=44100:d=1.5")
    maps = ("-map", "0", "-map", "2", "-map", "1", "-c:v", "mpeg4", "-c:a", "flac")
    return generated(path, "testsrc=d=2:s=64x48", *inputs, *output_order, *maps)


async def test_the_first_audio_track_of_a_video_is_encoded_in_sync(
    source: Path, make: Make
) -> None:
    decoded = samples((await make(source, "audio:WAV")).path)
    assert len(decoded) / 44100 == pytest.approx(2, abs=0.03)
    assert not decoded[:20000].any()
    assert pitch(decoded[30000:80000]) == pytest.approx(440, abs=2)
    edited = samples((await make(source, "audio:WAV,remove_silence:-50:0.1")).path)
    assert len(edited) / 44100 == pytest.approx(1.6, abs=0.04)


@pytest.mark.parametrize("ops", ["mute,audio", "mute,waveform", "mute,normalize,audio"])
async def test_a_muted_video_has_no_audio_track(source: Path, make: Make, ops: str) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await make(source, ops)
    assert refused.value.reason is Reason.OPERATION_NOT_APPLICABLE


@pytest.mark.parametrize("ops", ["audio", "waveform", "waveform:PNG", "normalize,audio"])
async def test_a_video_without_audio_has_no_audio_track(
    tmp_path: Path, make: Make, ops: str
) -> None:
    silent = generated(tmp_path / "a.mkv", "testsrc=d=1:s=64x48", "-c:v", "mpeg4")
    with pytest.raises(FailedPrecondition) as refused:
        await make(silent, ops)
    assert refused.value.reason is Reason.OPERATION_NOT_APPLICABLE


async def test_a_truncated_file_is_encoded_up_to_its_end(
    song: Path, tmp_path: Path, make: Make
) -> None:
    data = song.read_bytes()
    (cut := tmp_path / "cut.mp3").write_bytes(data[: len(data) // 2])
    decoded = samples((await make(cut, "audio:WAV")).path)
    assert 3 < len(decoded) / 44100 < 5
    assert pitch(decoded[44100 : 44100 * 2]) == pytest.approx(2000, abs=5)


async def test_a_file_without_samples_is_refused(
    tmp_path: Path, make: Make, av_renderer: AvRenderer
) -> None:
    whole = generated(tmp_path / "whole.wav", "sine=d=1")
    (none := tmp_path / "none.wav").write_bytes(whole.read_bytes()[:44])
    with pytest.raises(InvalidArgument) as refused:
        await make(none, "audio")
    assert refused.value.reason is Reason.MEDIA_CORRUPT
    source = AvSource.of(none, "audio/wav", AudioInfo(duration_seconds=0.0, audio_codec="pcm"))
    for ops in ("audio", "normalize", "waveform", "waveform:PNG"):
        steps = find_route(stored_pipeline(ops), Kind.AUDIO).steps
        making = av_renderer.render(source, steps, {}, lambda _: None, name="made")
        with pytest.raises(InvalidArgument) as refused:
            async with making:
                pass
        assert refused.value.reason is Reason.MEDIA_CORRUPT


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated(tmp_path_factory.mktemp("long") / "a.flac", "sine=d=1200:r=44100", "-ac", "2")


@pytest.mark.parametrize("ops", ["audio:OPUS", "normalize", "waveform"])
async def test_a_cancelled_render_leaves_no_files_or_processes(
    long: Path,
    tmp_path: Path,
    inspector: Inspector,
    av_renderer: AvRenderer,
    monkeypatch: pytest.MonkeyPatch,
    ops: str,
) -> None:
    source, kind = await inspected(inspector, long)
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    started = asyncio.Event()

    async def work() -> None:
        steps = find_route(stored_pipeline(ops), kind).steps
        async with av_renderer.render(source, steps, {}, lambda _: started.set(), name="made"):
            pass

    before = {child.pid for child in psutil.Process().children()}
    open_before = len(psutil.Process().open_files())
    task = asyncio.create_task(work())
    await started.wait()
    (mine,) = [child for child in psutil.Process().children() if child.pid not in before]
    assert any(scratch.iterdir())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not mine.is_running()
    assert not any(scratch.iterdir())

    async def closed() -> bool:
        return len(psutil.Process().open_files()) <= open_before

    await eventually_async(closed)


@pytest.mark.parametrize("ops", ["audio:WAV", "waveform", "waveform:PNG"])
async def test_audio_that_cannot_be_decoded_to_its_end_is_found(
    tmp_path: Path, make: Make, ops: str
) -> None:
    """The second half of the file is zero, which the decoder skips."""
    path = generated(tmp_path / "a.m4a", "sine=d=10", "-c:a", "aac", "-movflags", "faststart")
    assert await make(path, ops)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2].ljust(len(data), b"\0"))
    with pytest.raises(InvalidArgument, match=r"The audio of the result ends after") as refused:
        await make(path, ops)
    assert refused.value.reason is Reason.MEDIA_CORRUPT


async def test_frames_without_time_stamps_that_cannot_be_decoded_are_found(
    tmp_path: Path, make: Make
) -> None:
    """Of the frames in the second half, only the headers are left."""
    path = generated(tmp_path / "a.aac", "sine=d=10", "-b:a", "64k")
    assert await make(path, "audio:WAV")
    data = bytearray(path.read_bytes())
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at + 3 : at + 6]) >> 5 & 0x1FFF
        if at > len(data) // 2:
            data[at + 7 : at + size] = bytes(size - 7)
        at += size
    path.write_bytes(data)
    with pytest.raises(InvalidArgument, match=r"The audio of the result ends after"):
        await make(path, "audio:WAV")
