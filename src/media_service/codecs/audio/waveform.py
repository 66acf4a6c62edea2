"""The waveform of an audio track: its peaks, as JSON for players or as an image."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.audio.edited_track import no_audio_track
from media_service.codecs.audio.peak_downsampler import PeakDownsampler
from media_service.codecs.audio.peaks import Peaks, read_peaks
from media_service.codecs.audio.waveform_image import Drawing, draw_waveform
from media_service.codecs.av_task import AvTask
from media_service.codecs.output import Output
from media_service.codecs.progress import report_range
from media_service.temporary_files import temporary_file

JSON = "application/json"
DEFAULT_RATE = 48_000
# The minimum of audiowaveform.
MIN_SAMPLES = 2
# The maximum number of samples per interval, which are all in memory at the same time. For longer
# tracks, peaks are merged.
MAX_SAMPLES = 1 << 19
# Peaks per column of an image: the track may turn out longer or shorter than its header says.
PEAKS_PER_COLUMN = 8


async def render_waveform(task: AvTask) -> Sequence[Output]:
    """Computes the peaks. Raises the errors of `Program.wait`, and FailedPrecondition
    (OPERATION_NOT_APPLICABLE) if there is no audio track or no audio is left."""
    rate = task.source.first_audio_track.sample_rate_hz or DEFAULT_RATE
    if task.message.format == Operation.Waveform.JSON:
        return [await as_json(task, rate)]
    return [await as_image(task, rate)]


async def as_json(task: AvTask, rate: int) -> Output:
    """Writes version 2 of audiowaveform's format. The length comes at the end, when it is known."""
    samples = max(MIN_SAMPLES, rate // task.message.points_per_second)
    file = task.stack.enter_context(temporary_file("media-render-"))
    file.write(
        b'{"version":2,"channels":1,"sample_rate":%d,"samples_per_pixel":%d,"bits":8,"data":['
        % (rate, samples)
    )
    length = 0

    def add(peaks: Peaks) -> None:
        nonlocal length
        # audiowaveform reduces 16 bits to 8 by a division by 256, rounded towards 0.
        values = (peaks.ravel() / 256).astype(np.int8).tolist()
        file.write((b"," if length else b"") + ",".join(map(str, values)).encode())
        length += len(peaks)

    seconds = await read_peaks(task.source, task.edits, rate, samples, task.report, add)
    if not length:
        raise no_audio_track()
    file.write(b'],"length":%d}\n' % length)
    file.flush()
    return Output(Path(file.name), JSON, seconds=seconds)


async def as_image(task: AvTask, rate: int) -> Output:
    message = task.message
    points = message.width * PEAKS_PER_COLUMN
    samples = min(max(MIN_SAMPLES, round(task.edits.seconds * rate / points)), MAX_SAMPLES)
    downsampler = PeakDownsampler(2 * points)
    report = report_range(task.report, 0, 0.95)
    seconds = await read_peaks(task.source, task.edits, rate, samples, report, downsampler.add)
    peaks = downsampler.peaks()
    if not len(peaks):
        raise no_audio_track()
    drawing = Drawing(
        message.width,
        message.height,
        message.color,
        message.background,
        webp=message.format == Operation.Waveform.WEBP,
    )
    return replace(await draw_waveform(task.stack, drawing, peaks), seconds=seconds)
