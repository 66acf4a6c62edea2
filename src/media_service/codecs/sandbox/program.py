"""Runs another program as a confined child process."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from media_service.codecs.sandbox.environment import base_environment, folder_environment
from media_service.codecs.sandbox.exit_cause import (
    corrupt,
    crashed,
    exceeded,
    exit_cause,
    printable,
)
from media_service.codecs.sandbox.limits import END_SECONDS, ResourceLimits
from media_service.errors import MediaError
from media_service.temporary_files import TemporaryFolder

log = logging.getLogger(__name__)

# Bytes of standard error that are kept.
STDERR_BYTES = 4096
READ_BYTES = 1 << 16


@asynccontextmanager
async def confined(
    program: Path,
    arguments: Sequence[str],
    files: Sequence[int],
    limits: ResourceLimits,
    *,
    stall_seconds: float,
    on_line: Callable[[str], None],
    nice: int = 0,
) -> AsyncIterator["Program"]:
    """Runs `program` with `files` open and a private folder to write in, and access to nothing
    else. Leaving the context kills it and removes the folder.

    `on_line` is called with each line of its standard output. If there is no line for
    `stall_seconds`, the program counts as stalled. `nice` is its scheduling priority.
    """
    folder = TemporaryFolder("media-program-")
    setup = {
        "parent": os.getpid(),
        "nice": nice,
        "program": str(program),
        "arguments": list(arguments),
        "memory_bytes": limits.memory_bytes,
        "file_bytes": limits.file_bytes,
        "cpu_seconds": limits.cpu_seconds,
    }
    try:
        process = await start(
            *(sys.executable, "-P", "-S", "-s", "-B"),
            *("-m", f"{__package__}.launch", json.dumps(setup)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder.path,
            env=base_environment() | folder_environment(folder.path),
            pass_fds=files,
            start_new_session=True,
        )
    except BaseException:
        folder.remove()
        raise
    running = Program(process, folder, limits, stall_seconds, on_line)
    try:
        yield running
    finally:
        # A second cancellation must not interrupt it.
        await asyncio.shield(running.close())


async def start(*command: str, **options: Any) -> asyncio.subprocess.Process:
    """Starts a process. If that is cancelled, no process remains: uvloop would leave it running."""
    starting = asyncio.create_task(asyncio.create_subprocess_exec(*command, **options))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.shield(end(starting))
        raise


async def end(starting: asyncio.Task[asyncio.subprocess.Process]) -> None:
    """Kills a process as soon as it has started."""
    try:
        process = await starting
    except OSError:  # it did not start
        return
    kill(process)
    await ended(process)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Waits until a killed process has ended, and its pipes are empty: asyncio reports no exit
    before. It goes on without the end if that takes too long."""
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.communicate()
    except TimeoutError:
        message = "process %s was killed and has not ended in %g seconds"
        log.error(message, process.pid, END_SECONDS)


def kill(process: asyncio.subprocess.Process) -> None:
    """Kills a process and its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class Program:
    """A running program. It writes to `folder`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        folder: TemporaryFolder,
        limits: ResourceLimits,
        stall_seconds: float,
        on_line: Callable[[str], None],
    ) -> None:
        self.folder = folder.path
        self._scratch = folder
        self._process = process
        self._limits = limits
        self._stall_seconds = stall_seconds
        self._on_line = on_line
        self._stderr = b""
        self._reading_stderr = asyncio.create_task(self._read_stderr())

    async def wait(self) -> None:
        """Waits until the program succeeds.
        Raises InvalidArgument (MEDIA_CORRUPT, the reason of the limits), Unavailable
        (PROCESSING_UNAVAILABLE).
        """
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                await self._read_stdout()
                await self._reading_stderr
                code = await self._process.wait()
        except TimeoutError:
            raise exceeded(self._limits, "wall_seconds") from None
        if code:
            raise self._failure(code)

    async def close(self) -> None:
        """Kills the program if it is still running, and removes its folder."""
        if self._process.returncode is None:
            kill(self._process)
        self._reading_stderr.cancel()
        await asyncio.gather(self._reading_stderr, return_exceptions=True)
        await ended(self._process)
        await asyncio.to_thread(self._scratch.remove)

    @property
    def stderr_tail(self) -> str:
        """The end of its standard error."""
        return self._stderr.decode(errors="replace").strip()

    async def _read_stdout(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._stall_seconds):
                    line = await pipe_of(self._process.stdout).readline()
            except ValueError:  # an endless line, which ffmpeg never prints
                raise crashed() from None
            if not line:
                return
            self._on_line(line.decode(errors="replace").strip())

    async def _read_stderr(self) -> None:
        while data := await pipe_of(self._process.stderr).read(READ_BYTES):
            self._stderr = (self._stderr + data)[-STDERR_BYTES:]

    def _failure(self, code: int) -> MediaError:
        log.info("a program failed (%s): %s", code, printable(self.stderr_tail))
        if cause := exit_cause(code, self._stderr, self._limits):
            return cause
        if code < 0:
            return crashed()
        return corrupt("The file cannot be processed: it is damaged.")


def pipe_of(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if stream is None:
        raise RuntimeError("a program was started without its pipes")
    return stream
