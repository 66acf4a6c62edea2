"""Runs ffmpeg in a confined child process, on open files, with a graph built by ffmpeg-python."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg

from media_service.codecs.limits import AV_LIMITS
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.pool import open_media
from media_service.codecs.sandbox.program import Program, confined

# ffmpeg reports progress four times a second. Without progress for this long, it hangs.
STALL_SECONDS = 120.0
# Scheduling priorities. Only the first segments of a stream are interactive, because a viewer may
# wait for them. When they compete for CPU time, background work gets a thirtieth. The audio of a
# stream gets a quarter: it is faster than the video, and must not finish last.
NICE_INTERACTIVE, NICE_AUDIO, NICE_BACKGROUND = 0, 5, 15
COMMON_OPTIONS = (
    *("-nostdin", "-hide_banner", "-loglevel", "error"),
    *("-nostats", "-stats_period", "0.25", "-progress", "pipe:1"),
)

# Takes the increasing number of written seconds of the output.
ReportSeconds = Callable[[float], None]


@cache
def binary() -> Path:
    """Returns the path of the ffmpeg that is installed with the service. IMAGEIO_FFMPEG_EXE
    overrides it."""
    return Path(imageio_ffmpeg.get_ffmpeg_exe()).resolve()


@contextmanager
def open_file(path: Path) -> Iterator[int]:
    """Opens a file to read. Each input needs a separate descriptor, because inputs would share its
    position. Raises DataLoss (BLOB_MISSING) and Unavailable (STORAGE_UNAVAILABLE)."""
    file = open_media(path)
    try:
        yield file
    finally:
        os.close(file)


def ffmpeg_input(file: int, demuxer: str, **options: Any) -> Any:
    """Returns an open file as an input. ffmpeg does not guess the demuxer and cannot open other
    files."""
    return ffmpeg.input("fd:", fd=file, format=demuxer, protocol_whitelist="fd", **options)


@asynccontextmanager
async def run_ffmpeg(
    output: Any,
    files: Sequence[int],
    *,
    limits: ResourceLimits = AV_LIMITS,
    progress: ReportSeconds | None = None,
    nice: int = NICE_BACKGROUND,
) -> AsyncIterator[Program]:
    """Starts ffmpeg. Await `wait()` of the program. Leaving the context kills it.

    `output` is one output node of ffmpeg-python, or several. Their inputs and outputs are `files`,
    or names in the program's folder. `limits` should be `AvSource.limits`, unless the work does not
    depend on the duration of a source. Raises the errors of `Program.wait`.
    """
    written = 0

    def on_line(line: str) -> None:
        nonlocal written
        name, _, value = line.partition("=")
        # The time may decrease when another stream begins.
        if progress and name == "out_time_us" and value.isdigit() and int(value) > written:
            written = int(value)
            progress(written / 1e6)

    async with confined(
        binary(),
        [*COMMON_OPTIONS, *ffmpeg.get_args(output, overwrite_output=True)],
        files,
        limits,
        stall_seconds=STALL_SECONDS,
        on_line=on_line,
        nice=nice,
    ) as program:
        yield program
