"""One child process, seen from the service."""

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from media_service.codecs.sandbox.errors import SandboxBroken
from media_service.codecs.sandbox.exit_cause import (
    cause_of_death,
    corrupt,
    crashed,
    exceeded,
    printable,
)
from media_service.codecs.sandbox.fonts import write_config
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.messages import HEADER, encode
from media_service.errors import (
    FailedPrecondition,
    InvalidArgument,
    MediaError,
    Reason,
    Unavailable,
)
from media_service.temporary_files import TemporaryFolder

log = logging.getLogger(__name__)

# Generous: on a busy machine an interpreter and its codecs take seconds to load.
START_SECONDS = 60.0
# Of what a child printed before it died, this much is logged.
LAST_WORDS = 2000


# What a child may answer, beside that the media is corrupt.
REFUSALS: dict[str, type[MediaError]] = {
    Reason.PIXEL_LIMIT_EXCEEDED: InvalidArgument,
    Reason.INSPECTION_LIMIT_EXCEEDED: InvalidArgument,
    Reason.PROCESSING_LIMIT_EXCEEDED: InvalidArgument,
    Reason.OPERATION_NOT_APPLICABLE: FailedPrecondition,
    Reason.DOCUMENT_ENCRYPTED: FailedPrecondition,
    Reason.MAX_BYTES_TOO_SMALL: FailedPrecondition,
    Reason.PROCESSING_UNAVAILABLE: Unavailable,
}
# A process that closed its socket is about to end; one that only pretends to does not wait longer.
END_SECONDS = 2.0


def percent_of(reply: Mapping[str, Any]) -> int:
    """0 if the reply is about something else."""
    percent = reply.get("progress")
    return percent if type(percent) is int else 0


def environment(folder: Path) -> dict[str, str]:
    """All that a child gets of it: where modules and fonts are, where to write, and small heaps."""
    inherited = {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if Path(p).is_absolute()),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "FONTCONFIG_FILE": str(write_config(folder)),
        # Every arena and every worker thread reserves address space, which is limited.
        "MALLOC_ARENA_MAX": "2",
        "VIPS_CONCURRENCY": "2",
    }


class Child:
    """A confined process that serves tasks, one at a time."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        folder: TemporaryFolder,
        last_words: IO[bytes],
        limits: ResourceLimits,
        left: int,
    ) -> None:
        self._process = process
        self._channel = channel
        self._folder = folder
        self._last_words = last_words
        self._limits = limits
        # How many tasks it may still be given.
        self.left = left
        # Whether it came out of its last task as it went in, so that it can serve others.
        self.sound = True
        self.missing: tuple[str, ...] = ()

    @classmethod
    async def start(
        cls, tasks: Sequence[str], limits: ResourceLimits, left: int, readable: Sequence[Path] = ()
    ) -> Self:
        """Starts a process that can do `tasks`, and waits until it is confined. `left`: how many
        it is to do. `readable`: folders it needs.

        Raises SandboxBroken.
        """
        folder = TemporaryFolder("media-child-")
        ours, theirs = socket.socketpair()
        # A file without a name: the child can fill it up to its limit, and not replace it.
        last_words = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child)
        setup = {
            "parent": os.getpid(),
            "socket": theirs.fileno(),
            "folder": str(folder.path),
            "tasks": list(tasks),
            "limits": dataclasses.asdict(limits),
            "readable": [str(folder) for folder in readable],
        }
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220 (returns after exec, in milliseconds)
                [sys.executable, "-P", "-s", "-B", "-m", f"{__package__}.child", json.dumps(setup)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=last_words,
                cwd=folder.path,
                env=environment(folder.path),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.setblocking(False)
        child = cls(process, ours, folder, last_words, limits, left)
        try:
            async with asyncio.timeout(START_SECONDS):
                child.missing = tuple((await child._receive())["missing"])
        except BaseException as error:
            words = child.words().decode(errors="replace")
            await child.close()
            if isinstance(error, Exception):
                log.warning("a child did not start: %s", words)
                raise SandboxBroken("a child process did not start") from error
            raise
        return child

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    async def call(
        self,
        task: str,
        files: Sequence[int],
        parameters: Mapping[str, Any],
        progress: Callable[[int], None] | None = None,
    ) -> Any:
        """Has a task done on open files; returns its result. `progress`: is told percents, which
        rise, by a task that knows them.

        Raises InvalidArgument (MEDIA_CORRUPT, or what the limits say), Unavailable
        (PROCESSING_UNAVAILABLE), SandboxBroken, and what the task refuses (REFUSALS). Afterwards,
        and when cancelled, the child must be closed if it is not `sound`.
        """
        self.sound = False
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                wanted = {"task": task, "parameters": dict(parameters)}
                await self._send({**wanted, "progress": progress is not None}, files)
                reply = await self._receive()
                told = 0
                # It rises to 100 at most, so an answer comes.
                while progress and told < (percent := percent_of(reply)) <= 100:
                    progress(percent)
                    told = percent
                    reply = await self._receive()
        except TimeoutError:
            raise exceeded(self._limits, "time") from None
        except (EOFError, ConnectionError):
            raise await self._cause_of_death() from None
        if "result" in reply:
            self.sound = True
            return reply["result"]
        message = printable(str(reply.get("message")))
        reason = reply.get("reason")
        if reason == Reason.INTERNAL:
            words = self.words().decode(errors="replace")
            log.error("a task failed in its child: %s", words)
            raise SandboxBroken(f"a task failed: {message}")
        if isinstance(reason, str) and reason in REFUSALS:
            self.sound = reply.get("sound") is True
            raise REFUSALS[reason](Reason(reason), message)
        log.info("a media file cannot be read: %s", message)
        raise corrupt(message)

    async def close(self) -> None:
        """Kills the process, at once, and removes what it left."""
        self._channel.close()
        self._kill()
        try:
            # It was killed, so this takes milliseconds: the time to give its memory back.
            await asyncio.to_thread(self._process.wait)
        finally:
            self._last_words.close()
            self._folder.remove()

    def words(self) -> bytes:
        """The last that it printed on its standard error."""
        size = os.fstat(self._last_words.fileno()).st_size
        return os.pread(self._last_words.fileno(), LAST_WORDS, max(0, size - LAST_WORDS)).strip()

    def _kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _send(self, message: dict[str, Any], files: Sequence[int]) -> None:
        data = encode(message)
        sent = socket.send_fds(self._channel, [data], files)
        await asyncio.get_running_loop().sock_sendall(self._channel, data[sent:])

    async def _receive(self) -> dict[str, Any]:
        """The next message. What a child says is not trusted to be JSON, or short."""
        (size,) = HEADER.unpack(await self._read(HEADER.size))
        if size > self._limits.result_bytes:
            raise exceeded(self._limits, "space for the result")
        try:
            message = json.loads(await self._read(size))
        except (ValueError, RecursionError):
            raise corrupt("It cannot be read.") from None
        return message if isinstance(message, dict) else {}

    async def _read(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < size:
            piece = await loop.sock_recv(self._channel, min(size - len(data), 1 << 16))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    async def _cause_of_death(self) -> MediaError:
        try:
            code: int | None = await asyncio.to_thread(self._process.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
            self._kill()
            await asyncio.to_thread(self._process.wait)
        words = self.words()
        log.warning("a child died (%s): %s", code, words.decode(errors="replace"))
        return cause_of_death(code, words, self._limits) or crashed()
