"""How loud a sound is at each moment: what players draw it from, or a picture of that."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.audio.edit_chain import no_sound
from media_service.codecs.audio.peak_downsampler import PeakDownsampler
from media_service.codecs.audio.peaks import Peaks, read_peaks
from media_service.codecs.audio.waveform_image import Drawing, drawn
from media_service.codecs.output import Output
from media_service.codecs.progress import ProgressCallback, between
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource
from media_service.temporary_files import temporary_file

JSON = "application/json"
RATE = 48_000
# As audiowaveform has it.
LEAST_SAMPLES = 2
# They are looked at together, so they are held in memory: for longer sounds, peaks are merged.
MOST_SAMPLES = 1 << 19
# Peaks of a picture, for each of its columns: the sound may be longer or shorter than was thought.
FINER = 8


async def waveform(
    stack: AsyncExitStack, film: AvSource, edits: Edits, message: Any, told: ProgressCallback
) -> Output:
    """Raises as `Program.wait`, and FailedPrecondition (OPERATION_NOT_APPLICABLE) if there is no
    sound, or nothing is left of it."""
    rate = film.sound.get("audio_sample_rate_hz") or RATE
    if message.form == Operation.Waveform.JSON:
        return await as_json(stack, film, edits, message, rate, told)
    return await as_picture(stack, film, edits, message, rate, told)


async def as_json(
    stack: AsyncExitStack,
    film: AvSource,
    edits: Edits,
    message: Any,
    rate: int,
    told: ProgressCallback,
) -> Output:
    """Version 2 of audiowaveform's format. Its length comes last, for it is known last."""
    samples = max(LEAST_SAMPLES, rate // message.points_per_second)
    file = stack.enter_context(temporary_file("media-render-"))
    file.write(
        b'{"version":2,"channels":1,"sample_rate":%d,"samples_per_pixel":%d,"bits":8,"data":['
        % (rate, samples)
    )
    length = 0

    def take(peaks: Peaks) -> None:
        nonlocal length
        # As audiowaveform makes 8 bits of 16: what is left of a division by 256, towards 0.
        values = (peaks.ravel() / 256).astype(np.int8).tolist()
        file.write((b"," if length else b"") + ",".join(map(str, values)).encode())
        length += len(peaks)

    await read_peaks(film, edits, rate, samples, told, take)
    if not length:
        raise no_sound()
    file.write(b'],"length":%d}\n' % length)
    file.flush()
    return Output(Path(file.name), JSON)


async def as_picture(
    stack: AsyncExitStack,
    film: AvSource,
    edits: Edits,
    message: Any,
    rate: int,
    told: ProgressCallback,
) -> Output:
    columns = message.width * FINER
    samples = round(edits.seconds * rate / columns)
    samples = min(max(LEAST_SAMPLES, samples), MOST_SAMPLES)
    coarse = PeakDownsampler(2 * columns)
    await read_peaks(film, edits, rate, samples, between(told, 0, 0.95), coarse.take)
    peaks = coarse.peaks()
    if not len(peaks):
        raise no_sound()
    drawing = Drawing(
        message.width,
        message.height,
        message.color,
        message.background,
        webp=message.form == Operation.Waveform.WEBP,
    )
    return await drawn(stack, drawing, peaks)
