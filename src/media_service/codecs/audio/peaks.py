"""Reads the peaks of an audio track: the smallest and the largest sample of each short interval."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from media_service.codecs.audio.edited_track import edited_track
from media_service.codecs.audio.loudness import loudness_correction
from media_service.codecs.ffmpeg.run import open_file, run_ffmpeg
from media_service.codecs.progress import ReportProgress, report_range, report_seconds
from media_service.codecs.task_group import run_together
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource

# Rows of the smallest and the largest sample.
Peaks: TypeAlias = npt.NDArray[np.int16]

SAMPLE = np.dtype("<i2")
# Bytes per read, and in the pipe, so that ffmpeg decodes ahead.
READ_BYTES = 1 << 20
# Samples per write of ffmpeg.
FRAME_SAMPLES = 1 << 16


async def read_peaks(
    source: AvSource,
    edits: Edits,
    rate: int,
    samples: int,
    report: ReportProgress,
    add: Callable[[Peaks], None],
) -> float:
    """Passes the peaks of the edited track to `add` while they are decoded: one row for each
    `samples` samples at `rate`, mixed to mono. The last row may have fewer samples. Memory use is a
    few megabytes, regardless of the length. Returns the duration of the track in seconds.

    Raises the errors of `Program.wait` and `edited_track`.
    """
    begin = 0.6 if edits.normalize else 0.0
    correction = await loudness_correction(source, edits, report_range(report, 0, begin))
    progress = report_seconds(report_range(report, begin, 1), edits.seconds)
    async with AsyncExitStack() as stack:
        file = stack.enter_context(open_file(source.path))
        node = (
            correction.applied(edited_track(source, edits, file))
            .filter("aformat", sample_fmts="s16", sample_rates=rate, channel_layouts="mono")
            # A frame of most codecs lasts 20 ms. Passing such short frames between threads and
            # processes would cost more than decoding them.
            .filter("asetnsamples", n=FRAME_SAMPLES, p=0)
        )
        read_end, write_end = os.pipe()
        with os.fdopen(write_end, "wb"):  # must close once ffmpeg has it, or the pipe never ends
            reader = await stack.enter_async_context(pipe_reader(read_end))
            output = node.output(f"pipe:{write_end}", format="s16le", blocksize=READ_BYTES // 4)
            running = run_ffmpeg(output, [file, write_end], limits=source.limits, progress=progress)
            program = await stack.enter_async_context(running)
        found = 0

        async def find() -> None:
            nonlocal found
            found = await find_peaks(reader, samples, add)

        await run_together(program.wait(), find())
    return found / rate


@asynccontextmanager
async def pipe_reader(file: int) -> AsyncIterator[asyncio.StreamReader]:
    """Reads from the pipe end `file`, and closes it at the end."""
    with suppress(AttributeError, OSError):  # not on every system, nor beyond the system's limit
        fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, READ_BYTES)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(file, "rb"))
    try:
        yield reader
    finally:
        transport.close()


async def find_peaks(
    reader: asyncio.StreamReader, samples: int, add: Callable[[Peaks], None]
) -> int:
    """Returns the number of samples."""
    interval = samples * SAMPLE.itemsize
    size = max(1, READ_BYTES // interval) * interval
    total, more = 0, True
    while more:
        try:
            data = await reader.readexactly(size)
        except asyncio.IncompleteReadError as end:
            data, more = end.partial, False
        decoded = np.frombuffer(data, SAMPLE, len(data) // SAMPLE.itemsize)
        total += len(decoded)
        whole = len(decoded) // samples * samples
        if whole:
            add(smallest_and_largest(decoded[:whole].reshape(-1, samples)))
        if whole < len(decoded):
            add(smallest_and_largest(decoded[whole:].reshape(1, -1)))
    return total


def smallest_and_largest(intervals: npt.NDArray[np.int16]) -> Peaks:
    return np.stack([intervals.min(axis=1), intervals.max(axis=1)], axis=1)
