"""Another program as a child, confined like one of ours."""

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from media_service.codecs.sandbox.exit_cause import (
    cause_of_death,
    corrupt,
    crashed,
    exceeded,
    printable,
)
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.process import environment
from media_service.errors import MediaError
from media_service.temporary_files import TemporaryFolder

log = logging.getLogger(__name__)

# Of what it printed, this much is kept.
LAST_WORDS = 4096
# What it says between two looks.
PIECE = 1 << 16


@asynccontextmanager
async def confined(
    program: Path,
    arguments: Sequence[str],
    files: Sequence[int],
    limits: ResourceLimits,
    *,
    stall_seconds: float,
    said: Callable[[str], None],
    nice: int = 0,
) -> AsyncIterator["Program"]:
    """Runs `program` in a private folder, where it may write, with `files` open and nothing else
    in sight; leaving the context kills it and removes the folder.

    `said` gets each line it prints on its standard output; if it prints none for `stall_seconds`
    it is taken to hang. `nice`: how much it leaves to others.
    """
    folder = TemporaryFolder("media-program-")
    setup = {
        "parent": os.getpid(),
        "nice": nice,
        "program": str(program),
        "arguments": list(arguments),
        "limits": dataclasses.asdict(limits),
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-S", "-s", "-B"),
            *("-m", f"{__package__}.launch", json.dumps(setup)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder.path,
            env=environment(folder.path),
            pass_fds=files,
            start_new_session=True,
        )
    except BaseException:
        folder.remove()
        raise
    running = Program(process, folder, limits, stall_seconds, said)
    try:
        yield running
    finally:
        # Also for who is cancelled once more meanwhile.
        await asyncio.shield(running.close())


class Program:
    """A program that runs. `folder`: where it writes."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        folder: TemporaryFolder,
        limits: ResourceLimits,
        stall_seconds: float,
        said: Callable[[str], None],
    ) -> None:
        self.folder = folder.path
        self._scratch = folder
        self._process = process
        self._limits = limits
        self._stall_seconds = stall_seconds
        self._said = said
        self._words = b""
        self._hearing = asyncio.create_task(self._hear())

    async def wait(self) -> None:
        """Until it has ended well.

        Raises InvalidArgument (MEDIA_CORRUPT, or what the limits say), Unavailable
        (PROCESSING_UNAVAILABLE).
        """
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                await self._listen()
                await self._hearing
                code = await self._process.wait()
        except TimeoutError:
            raise exceeded(self._limits, "time") from None
        if code:
            raise self._failure(code)

    async def close(self) -> None:
        """Kills it, if it still runs, and removes its folder."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._hearing.cancel()
        await asyncio.gather(self._hearing, return_exceptions=True)
        await self._process.communicate()  # it has not ended before all that it said is read
        await asyncio.to_thread(self._scratch.remove)

    @property
    def words(self) -> str:
        """The last that it printed on its standard error."""
        return self._words.decode(errors="replace").strip()

    async def _listen(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._stall_seconds):
                    line = await opened(self._process.stdout).readline()
            except ValueError:  # a line without an end, which no honest program prints
                raise crashed() from None
            if not line:
                return
            self._said(line.decode(errors="replace").strip())

    async def _hear(self) -> None:
        while piece := await opened(self._process.stderr).read(PIECE):
            self._words = (self._words + piece)[-LAST_WORDS:]

    def _failure(self, code: int) -> MediaError:
        log.info("a program failed (%s): %s", code, printable(self.words))
        if found := cause_of_death(code, self._words, self._limits):
            return found
        if code < 0:
            return crashed()
        lines = self.words.splitlines()
        return corrupt(f"It cannot be processed: {printable(lines[-1])}" if lines else "It failed.")


def opened(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if stream is None:
        raise RuntimeError("a program was started without its pipes")
    return stream
