"""The smallest and the largest sample of each short piece of a sound."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from media_service.codecs.audio.edit_chain import edited
from media_service.codecs.audio.loudness import correction
from media_service.codecs.ffmpeg.run import coding, opened
from media_service.codecs.progress import ProgressCallback, between, seconds
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource

# Pairs of the smallest and the largest sample.
Peaks: TypeAlias = npt.NDArray[np.int16]

SAMPLE = np.dtype("<i2")
# Bytes that are looked at in one go, and that wait in the pipe: ffmpeg decodes on meanwhile.
LOOK = 1 << 20
# Samples that ffmpeg gives out in one go.
FRAME = 1 << 16


async def read_peaks(
    film: AvSource,
    edits: Edits,
    rate: int,
    samples: int,
    told: ProgressCallback,
    take: Callable[[Peaks], None],
) -> None:
    """Gives `take` the peaks of the edited sound, its channels mixed into one, at `rate`, as they
    come: a pair for so many `samples`, of which the last may have fewer. That takes a few megabytes
    however long the sound is.

    Raises as `Program.wait`, and as `edited`.
    """
    begin = 0.6 if edits.normalize else 0.0
    louder = await correction(film, edits, between(told, 0, begin))
    tell = seconds(between(told, begin, 1), edits.seconds)
    async with AsyncExitStack() as stack:
        file = stack.enter_context(opened(film.path))
        stream = (
            louder.applied(edited(film, edits, file))
            .filter("aformat", sample_fmts="s16", sample_rates=rate, channel_layouts="mono")
            # A frame of most codecs lasts 20 ms. So many of them, from thread to thread and from
            # one process to the other, cost more than to decode them.
            .filter("asetnsamples", n=FRAME, p=0)
        )
        come, go = os.pipe()
        with os.fdopen(go, "wb"):  # ours is closed as soon as ffmpeg has it, or it would never end
            reader = await stack.enter_async_context(reading(come))
            output = stream.output(f"pipe:{go}", format="s16le", blocksize=LOOK // 4)
            work = coding(output, [file, go], progress=tell)
            program = await stack.enter_async_context(work)
        await run_together(program.wait(), peaks_of(reader, samples, take))


@asynccontextmanager
async def reading(file: int) -> AsyncIterator[asyncio.StreamReader]:
    """The end of a pipe, closed at the end."""
    with suppress(AttributeError, OSError):  # not on every system, and not beyond its limit
        fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, LOOK)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LOOK)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(file, "rb"))
    try:
        yield reader
    finally:
        transport.close()


async def peaks_of(
    reader: asyncio.StreamReader, samples: int, take: Callable[[Peaks], None]
) -> None:
    piece = samples * SAMPLE.itemsize
    look = max(1, LOOK // piece) * piece
    more = True
    while more:
        try:
            data = await reader.readexactly(look)
        except asyncio.IncompleteReadError as end:
            data, more = end.partial, False
        sound = np.frombuffer(data, SAMPLE, len(data) // SAMPLE.itemsize)
        whole = len(sound) // samples * samples
        if whole:
            take(smallest_and_largest(sound[:whole].reshape(-1, samples)))
        if whole < len(sound):
            take(smallest_and_largest(sound[whole:].reshape(1, -1)))


def smallest_and_largest(pieces: npt.NDArray[np.int16]) -> Peaks:
    return np.stack([pieces.min(axis=1), pieces.max(axis=1)], axis=1)


async def run_together(*work: Coroutine[Any, Any, None]) -> None:
    """Until all is done; what fails ends the others."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
