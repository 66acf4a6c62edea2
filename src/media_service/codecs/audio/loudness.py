"""Makes a sound as loud as others are, by EBU R128: measured first, then set right."""

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass

from media_service.codecs.audio.edit_chain import edited
from media_service.codecs.ffmpeg.run import coding, opened
from media_service.codecs.progress import ProgressCallback, between, seconds
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.filter_graph import Node
from media_service.codecs.video.source import AvSource

# In LUFS. What is not louder than the absolute gate of R128, and what is shorter than a block of it
# (0.4 s), has no loudness: it stays as it is.
GATE = -70.0
MEASURED = re.compile(r"\bI:\s*(\S+) LUFS.*\bPeak:\s*(\S+) dBFS", re.DOTALL)
# A limiter takes loudness away, and the way back from its rate adds to peaks: so what comes out is
# measured again, so often or until it is so near.
ATTEMPTS = 5
NEAR = 0.1
# What only limiting more would make louder, but would be nothing but distortion, in dB.
MOST_LIMITED = 20.0
# True peaks lie between the samples of a sound, so they are limited at a rate that shows them.
PEAK_RATE = 192_000
# What the way back adds to them as a rule, in dB.
BACK = 0.2


@dataclass(frozen=True, slots=True)
class Loudness:
    """`integrated` in LUFS, `peak` in dBTP."""

    integrated: float
    peak: float


@dataclass(frozen=True, slots=True)
class Correction:
    """What makes a sound as loud as wanted. `gain` in dB; `limit` in dB of full scale; None: its
    dynamics stay as they are. `rate`: of the sound, in Hz."""

    gain: float = 0.0
    limit: float | None = None
    rate: int = 48_000

    def applied(self, stream: Node) -> Node:
        if self.gain:
            stream = stream.filter("volume", f"{self.gain:.4f}dB")
        if self.limit is None:
            return stream
        return (
            stream.filter("aresample", max(self.rate, PEAK_RATE))
            .filter("alimiter", limit=amplitude(self.limit), level=0, latency=1)
            .filter("aresample", self.rate)
        )


def amplitude(decibels: float) -> str:
    return f"{10 ** (decibels / 20):.9f}"


async def correction(
    film: AvSource, edits: Edits, told: ProgressCallback, channels: int | None = None
) -> Correction:
    """What `edits.normalize`, if there is one, does to the edited sound of a film. `channels`: as
    of `edited`.

    Raises as `Program.wait`, and as `edited`.
    """
    wanted = edits.normalize
    if not wanted:
        return Correction()
    found = await measured(film, edits, channels, Correction(), between(told, 0, 0.5))
    if not found.integrated > GATE:
        return Correction()
    gain = wanted.lufs - found.integrated
    if found.peak + gain <= wanted.peak:
        return Correction(gain)
    most = gain + MOST_LIMITED
    rate = film.sound.get("audio_sample_rate_hz") or 48_000
    limit = wanted.peak - BACK
    for attempt in range(1, ATTEMPTS):
        part = between(told, 1 - 0.5**attempt, 1 - 0.5 ** (attempt + 1))
        reached = await measured(film, edits, channels, Correction(gain, limit, rate), part)
        missing, above = wanted.lufs - reached.integrated, reached.peak - wanted.peak
        if abs(missing) <= NEAR and above <= NEAR:
            break
        gain, limit = min(gain + missing, most), limit - max(0.0, above)
    return Correction(gain, limit, rate)


async def measured(
    film: AvSource,
    edits: Edits,
    channels: int | None,
    correction: Correction,
    told: ProgressCallback,
) -> Loudness:
    """What comes out of a correction."""
    async with AsyncExitStack() as stack:
        file = stack.enter_context(opened(film.path))
        stream = correction.applied(edited(film, edits, file, channels))
        stream = stream.filter("ebur128", peak="true", framelog="quiet")
        output = stream.output("pipe:", format="null").global_args("-loglevel", "info")
        program = await stack.enter_async_context(
            coding(output, [file], progress=seconds(told, edits.seconds))
        )
        await program.wait()
        _, _, summary = program.words.rpartition("Summary:")
    match = MEASURED.search(summary)
    if not match:
        raise corrupt("Its loudness cannot be measured.")
    return Loudness(float(match[1]), float(match[2]))
