"""Runs ffmpeg: a graph made with ffmpeg-python, on open files, in a confined child."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg

from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.pool import open_media
from media_service.codecs.sandbox.program import Program, confined
from media_service.errors import Reason

LIMITS = ResourceLimits(
    # 8K takes 50 MiB for a picture, and decoder, filters and encoders hold some dozens.
    memory_bytes=8 << 30,
    cpu_seconds=24 * 3600,
    wall_seconds=12 * 3600,
    file_bytes=64 << 30,
    result_bytes=0,
    exceeded=Reason.PROCESSING_LIMIT_EXCEEDED,
)
# It tells how far it is four times a second. What comes no further for so long hangs.
STALL_SECONDS = 120.0
# Somebody may wait to see the first seconds of a film, and for nothing else that is made of it:
# beside that, the rest has a thirtieth of the processors, and what is idle. The sound of a stream
# has a quarter: it is soon ahead of the pictures, and is not to be what is left in the end.
NICE_IF_AWAITED, NICE_OF_SOUND, NICE = 0, 5, 15
TOLD = ("-nostdin", "-hide_banner", "-loglevel", "error", "-nostats", "-stats_period", "0.25")

# Is told how many seconds of the result are there, which rise.
Seconds = Callable[[float], None]


@cache
def binary() -> Path:
    """The ffmpeg that comes with the service; IMAGEIO_FFMPEG_EXE names another."""
    return Path(imageio_ffmpeg.get_ffmpeg_exe()).resolve()


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A file, open for reading. Two inputs need two: they share no place in it. Raises DataLoss
    (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE)."""
    file = open_media(path)
    try:
        yield file
    finally:
        os.close(file)


def source(file: int, demuxer: str, **options: Any) -> Any:
    """An open file as an input. The demuxer is never guessed, and it can open nothing else."""
    return ffmpeg.input("fd:", fd=file, format=demuxer, protocol_whitelist="fd", **options)


@asynccontextmanager
async def coding(
    output: Any,
    files: Sequence[int],
    *,
    limits: ResourceLimits = LIMITS,
    progress: Seconds | None = None,
    nice: int = NICE,
) -> AsyncIterator[Program]:
    """ffmpeg at work on `output`, a node of ffmpeg-python or several, whose inputs and outputs are
    `files` or names in the program's folder. Await its `wait()`. Raises as `Program.wait`."""

    there = 0

    def said(line: str) -> None:
        nonlocal there
        name, _, value = line.partition("=")
        # It may say less than before, when it hears of another stream.
        if progress and name == "out_time_us" and value.isdigit() and int(value) > there:
            there = int(value)
            progress(there / 1e6)

    arguments = [*TOLD, "-progress", "pipe:1", *ffmpeg.get_args(output, overwrite_output=True)]
    async with confined(
        binary(),
        arguments,
        files,
        limits,
        stall_seconds=STALL_SECONDS,
        said=said,
        nice=nice,
    ) as program:
        yield program
