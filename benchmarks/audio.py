"""Audio in the sandbox: waveforms compared with plain decoding by ffmpeg, and loudness compared
with its target."""

import asyncio
import re
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Bench, say
from benchmarks.report import Outcome, Row
from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.ffmpeg.run import binary
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspection import AudioInfo
from media_service.codecs.inspector import Inspector
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.sandbox.forks import ForkServer
from media_service.codecs.video.source import AvSource

HOUR, SHORT = 3600, 360
RATE = 44100
# Syllables and pauses on two different channels.
SPEECH = (
    "anoisesrc=d={seconds}:c=pink:r=44100:seed={seed}:a=0.5,"
    "volume='0.05+0.6*abs(sin(7*t))*gt(sin(1.3*t),-0.5)':eval=frame"
)
# LUFS, for television, podcasts and music services.
TARGETS = (-23, -16, -14)


async def audio(bench: Bench) -> Outcome:
    folder = bench.payload.path.parent
    quick = bench.seconds < 5
    seconds = SHORT if quick else HOUR
    long = await asyncio.to_thread(speech, folder / "long.mp3", seconds)
    short = await asyncio.to_thread(speech, folder / "short.mp3", 60)
    async with (
        ForkServer() as fork_server,
        ImageRenderer(fork_server, 1, 1 << 20, 1 << 20) as renderer,  # audio has no watermarks
        Inspector(fork_server, 1 << 20, 1) as inspector,
    ):
        renderer_av = AvRenderer(renderer, inspector, {})
        rows = [await waveform(renderer_av, long, seconds, rounds=2 if quick else bench.rounds)]
        rows += [await loudness(renderer_av, short, target) for target in TARGETS]
    return Outcome(rows, notes=["audio: an MP3 of noise as loud as speech, 128 kbit/s, stereo"])


def speech(path: Path, seconds: int) -> Path:
    sides = [SPEECH.format(seconds=seconds, seed=seed) for seed in (1, 2)]
    graph = f"{sides[0]}[l];{sides[1]}[r];[l][r]join=inputs=2"
    command = [str(binary()), "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", graph]
    subprocess.run([*command, "-b:a", "128k", str(path)], check=True)
    return path


async def waveform(renderer_av: AvRenderer, path: Path, seconds: int, rounds: int) -> Row:
    """Runs alternate, so that other load of the machine affects both."""
    video, ours, theirs = generated_video(path, seconds), [], []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        async with renderer_av.render(video, steps("waveform"), {}, lambda _: None, name="made"):
            ours.append(time.perf_counter() - begin)
        theirs.append(await asyncio.to_thread(decoded, path))
        say(f"  waveform {ours[-1]:.2f} s, bare decode {theirs[-1]:.2f} s")
    return Row(
        figure=f"waveform: {seconds // 60} minutes of MP3",
        unit="ms",
        target=1.1,
        at_most=True,
        # The first run of each is a warm-up.
        measured=statistics.median(ours[1:]) * 1000,
        limit=statistics.median(theirs[1:]) * 1000,
        limit_name="bare ffmpeg, decoding to nothing",
    )


def decoded(path: Path) -> float:
    begin = time.perf_counter()
    command = [str(binary()), "-nostdin", "-loglevel", "error", "-i", str(path), "-f", "null", "-"]
    subprocess.run(command, check=True)
    return time.perf_counter() - begin


async def loudness(renderer_av: AvRenderer, path: Path, target: int) -> Row:
    """The deviation from the target loudness, beside a limit of half a loudness unit."""
    making = renderer_av.render(
        generated_video(path, 60), steps(f"normalize:{target}"), {}, lambda _: None, name="made"
    )
    async with making as (made,):
        found = await asyncio.to_thread(integrated, made.path)
    say(f"  target {target} LUFS, measured {found}")
    return Row(
        figure=f"loudness: off {target} LUFS",
        unit="mLU",
        target=1.0,
        at_most=True,
        measured=abs(found - target) * 1000,
        limit=500,
        limit_name="half a loudness unit",
    )


def integrated(path: Path) -> float:
    """The integrated loudness by ffmpeg's own meter, in LUFS."""
    command = [str(binary()), "-nostdin", "-hide_banner", "-nostats", "-i", str(path)]
    graph = ["-af", "ebur128=framelog=quiet", "-f", "null", "-"]
    log = subprocess.run([*command, *graph], check=True, capture_output=True, text=True).stderr
    found = re.findall(r"I:\s*(\S+) LUFS", log)
    return float(found[-1])


def generated_video(path: Path, seconds: int) -> AvSource:
    info = AudioInfo(
        duration_seconds=float(seconds),
        audio_codec="mp3",
        audio_channels=2,
        audio_sample_rate_hz=RATE,
    )
    return AvSource.of(path, "audio/mpeg", info)


def steps(ops: str) -> Any:
    return find_route(stored_pipeline(ops), "AUDIO").steps
