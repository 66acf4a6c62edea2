"""Normalizes loudness by EBU R128: measures it, then corrects it."""

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass

from media_service.codecs.audio.edited_track import edited_track
from media_service.codecs.ffmpeg.run import open_file, run_ffmpeg
from media_service.codecs.progress import ReportProgress, report_range, report_seconds
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.filter_graph import Node
from media_service.codecs.video.source import AvSource

# The absolute gate of R128, in LUFS. Audio below it, or shorter than a block (0.4 s), has no
# loudness, and is not corrected.
GATE = -70.0
MEASURED = re.compile(r"\bI:\s*(\S+) LUFS.*\bPeak:\s*(\S+) dBFS", re.DOTALL)
# A limiter lowers loudness, and resampling raises peaks. Therefore, the result is measured again
# until it is within the tolerance, up to this many times.
MAX_ATTEMPTS = 5
TOLERANCE = 0.1
# The maximum limiting in dB. Beyond it, more gain would only distort.
MAX_LIMITED = 20.0
# True peaks lie between samples, so the limiter runs at a rate that shows them.
LIMITER_RATE = 192_000
# The amount by which resampling to the original rate usually raises peaks, in dB.
RESAMPLING_MARGIN = 0.2


@dataclass(frozen=True, slots=True)
class Loudness:
    """The loudness of a track: `integrated` in LUFS, and `peak` in dBTP."""

    integrated: float
    peak: float


@dataclass(frozen=True, slots=True)
class Correction:
    """A loudness correction. `gain` is in dB. `limit` is in dB of full scale; None means no
    limiter. `rate` is the sample rate of the track in Hz."""

    gain: float = 0.0
    limit: float | None = None
    rate: int = 48_000

    def applied(self, node: Node) -> Node:
        if self.gain:
            node = node.filter("volume", f"{self.gain:.4f}dB")
        if self.limit is None:
            return node
        return (
            node.filter("aresample", max(self.rate, LIMITER_RATE))
            .filter("alimiter", limit=amplitude(self.limit), level=0, latency=1)
            .filter("aresample", self.rate)
        )


def amplitude(decibels: float) -> str:
    return f"{10 ** (decibels / 20):.9f}"


async def loudness_correction(
    source: AvSource, edits: Edits, report: ReportProgress, channels: int | None = None
) -> Correction:
    """Computes the correction for `edits.normalize`, if it is set. For `channels`, see
    `edited_track`.

    Raises the errors of `Program.wait` and `edited_track`.
    """
    target = edits.normalize
    if not target:
        return Correction()
    report_first = report_range(report, 0, 0.5)
    original = await measure(source, edits, channels, Correction(), report_first)
    if not original.integrated > GATE:
        return Correction()
    gain = target.loudness_lufs - original.integrated
    if original.peak + gain <= target.max_peak_dbtp:
        return Correction(gain)
    max_gain = gain + MAX_LIMITED
    rate = source.first_audio_track.sample_rate_hz or 48_000
    limit = target.max_peak_dbtp - RESAMPLING_MARGIN
    for attempt in range(1, MAX_ATTEMPTS):
        report_attempt = report_range(report, 1 - 0.5**attempt, 1 - 0.5 ** (attempt + 1))
        correction = Correction(gain, limit, rate)
        corrected = await measure(source, edits, channels, correction, report_attempt)
        missing = target.loudness_lufs - corrected.integrated
        above = corrected.peak - target.max_peak_dbtp
        if abs(missing) <= TOLERANCE and above <= TOLERANCE:
            break
        gain, limit = min(gain + missing, max_gain), limit - max(0.0, above)
    return Correction(gain, limit, rate)


async def measure(
    source: AvSource,
    edits: Edits,
    channels: int | None,
    correction: Correction,
    report: ReportProgress,
) -> Loudness:
    """Measures the loudness of the edited track after `correction`."""
    async with AsyncExitStack() as stack:
        file = stack.enter_context(open_file(source.path))
        node = correction.applied(edited_track(source, edits, file, channels))
        node = node.filter("ebur128", peak="true", framelog="quiet")
        output = node.output("pipe:", format="null").global_args("-loglevel", "info")
        program = await stack.enter_async_context(
            run_ffmpeg(
                output,
                [file],
                limits=source.limits,
                progress=report_seconds(report, edits.seconds),
            )
        )
        await program.wait()
        _, _, summary = program.stderr_tail.rpartition("Summary:")
    match = MEASURED.search(summary)
    if not match:
        raise corrupt("The loudness of the audio cannot be measured.")
    return Loudness(float(match[1]), float(match[2]))
