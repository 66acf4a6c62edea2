"""The parent's side of a child process."""

import asyncio
import dataclasses
import json
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from media_service.codecs.sandbox.environment import folder_environment
from media_service.codecs.sandbox.errors import SandboxBroken
from media_service.codecs.sandbox.exit_cause import (
    corrupt,
    crashed,
    exceeded,
    exit_cause,
    printable,
)
from media_service.codecs.sandbox.forks import ForkedProcess, ForkServer
from media_service.codecs.sandbox.limits import END_SECONDS, ResourceLimits
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

# The time limit for a start. On a busy machine, an interpreter and its codecs take seconds to load.
START_SECONDS = 60.0
# Bytes of a child's standard error that are logged after its death.
STDERR_BYTES = 2000


# The errors of a child that are passed on. Any other is MEDIA_CORRUPT.
CHILD_ERRORS: dict[str, type[MediaError]] = {
    Reason.PIXEL_LIMIT_EXCEEDED: InvalidArgument,
    Reason.INSPECTION_LIMIT_EXCEEDED: InvalidArgument,
    Reason.PROCESSING_LIMIT_EXCEEDED: InvalidArgument,
    Reason.OPERATION_NOT_APPLICABLE: FailedPrecondition,
    Reason.DOCUMENT_ENCRYPTED: FailedPrecondition,
    Reason.MAX_SIZE_TOO_SMALL: FailedPrecondition,
    Reason.PROCESSING_UNAVAILABLE: Unavailable,
}
# Those that name a limit, and the keys of their metadata.
LIMITS_EXCEEDED = {Reason.INSPECTION_LIMIT_EXCEEDED, Reason.PROCESSING_LIMIT_EXCEEDED}
LIMIT_KEYS = ("limit", "value")
# A process that closed its socket is about to exit. A hostile one that does not is killed.
EXIT_SECONDS = 2.0


def percent_of(reply: Mapping[str, Any]) -> int:
    """Returns the progress in a reply, or 0 for another kind of reply."""
    percent = reply.get("progress")
    return percent if type(percent) is int else 0


def metadata_of(reply: Mapping[str, Any]) -> dict[str, str]:
    """Returns the metadata of an error in a reply. A hostile child may send anything."""
    metadata = reply.get("metadata")
    if reply.get("reason") not in LIMITS_EXCEEDED or not isinstance(metadata, dict):
        return {}
    return {key: printable(str(metadata.get(key, ""))) for key in LIMIT_KEYS}


class Child:
    """A confined process that serves tasks, one at a time."""

    def __init__(
        self,
        process: ForkedProcess,
        channel: socket.socket,
        folder: TemporaryFolder,
        stderr: IO[bytes],
        limits: ResourceLimits,
        tasks_left: int,
    ) -> None:
        self._process = process
        self._channel = channel
        self._folder = folder
        self._stderr = stderr
        self._limits = limits
        # The number of tasks that it may still serve.
        self.tasks_left = tasks_left
        # Whether the last task left it unchanged, so that it can serve other tasks.
        self.reusable = True

    @classmethod
    async def start(
        cls,
        fork_server: ForkServer,
        tasks: Sequence[str],
        limits: ResourceLimits,
        tasks_left: int,
        readable: Sequence[Path] = (),
    ) -> Self:
        """Starts a process that can run `tasks`, and waits until it is confined. It may serve
        `tasks_left` tasks and read the folders `readable`.

        Raises SandboxBroken.
        """
        folder = TemporaryFolder("media-child-")
        ours, theirs = socket.socketpair()
        # A file without a name: the child can fill it up to its limit, but not replace it.
        stderr = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child)
        setup = {
            "folder": str(folder.path),
            "environment": folder_environment(folder.path),
            "tasks": list(tasks),
            "limits": dataclasses.asdict(limits),
            "readable": [str(folder) for folder in readable],
        }
        with theirs:
            try:
                process = fork_server.fork(setup, theirs, stderr.fileno())
            except BaseException:
                ours.close()
                stderr.close()
                folder.remove()
                raise
        ours.setblocking(False)
        child = cls(process, ours, folder, stderr, limits, tasks_left)
        try:
            async with asyncio.timeout(START_SECONDS):
                await process.started()
                await child._receive()
        except BaseException as error:
            stderr_tail = (child.stderr_tail() or fork_server.stderr_tail()).decode(
                errors="replace"
            )
            await child.close()
            if isinstance(error, Exception):
                log.warning("a child process did not start: %s", stderr_tail)
                raise SandboxBroken("a child process did not start") from error
            raise
        return child

    @property
    def idle(self) -> bool:
        """Whether it is alive and waits for a task. A hostile one may have sent something."""
        try:
            self._channel.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except ConnectionError:
            pass
        return False

    async def call(
        self,
        task: str,
        files: Sequence[int],
        parameters: Mapping[str, Any],
        progress: Callable[[int], None] | None = None,
        limits: ResourceLimits | None = None,
    ) -> Any:
        """Runs a task on open files. Returns its result. `progress` is called with increasing
        percentages if the task reports them. The times in `limits` replace those of the process.

        Raises InvalidArgument (MEDIA_CORRUPT, the reason of the limits), Unavailable
        (PROCESSING_UNAVAILABLE), SandboxBroken, and the errors of the task (CHILD_ERRORS).
        Afterwards, and when cancelled, the child must be closed unless it is `reusable`.
        """
        self.reusable = False
        self._limits = limits = limits or self._limits
        # What was said about the file of another task explains no error of this one.
        self._stderr.seek(0)
        self._stderr.truncate()
        try:
            async with asyncio.timeout(limits.wall_seconds):
                request = {
                    "task": task,
                    "parameters": dict(parameters),
                    "cpu_seconds": limits.cpu_seconds,
                }
                await self._send({**request, "progress": progress is not None}, files)
                reply = await self._receive()
                reported = 0
                # Percentages must rise, and end at 100, so the loop ends.
                while progress and reported < (percent := percent_of(reply)) <= 100:
                    progress(percent)
                    reported = percent
                    reply = await self._receive()
        except TimeoutError:
            raise exceeded(limits, "wall_seconds") from None
        except (EOFError, ConnectionError):
            raise await self._exit_error() from None
        if "result" in reply:
            self.reusable = True
            return reply["result"]
        message = printable(str(reply.get("message")))
        cause = printable(str(reply.get("cause", "")))
        reason = reply.get("reason")
        if reason == Reason.INTERNAL:
            stderr_tail = self.stderr_tail().decode(errors="replace")
            log.error("a task failed in a child process: %s", stderr_tail)
            raise SandboxBroken(f"a task failed: {cause}")
        if isinstance(reason, str) and reason in CHILD_ERRORS:
            self.reusable = reply.get("reusable") is True
            log.info("a task failed: %s: %s %s", reason, message, cause)
            raise CHILD_ERRORS[reason](Reason(reason), message, **metadata_of(reply))
        log.info("a media file cannot be read: %s %s", message, cause)
        raise corrupt(message)

    async def close(self) -> None:
        """Kills the process immediately, and removes its files."""
        self._channel.close()
        self._process.kill()
        try:
            await self._ended()
        finally:
            self._process.close()
            self._stderr.close()
            self._folder.remove()

    async def _ended(self) -> None:
        """Waits until the killed process has ended. It goes on without the end if that takes too
        long."""
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            log.error("a child process was killed and has not ended in %g seconds", END_SECONDS)

    def stderr_tail(self) -> bytes:
        """The end of its standard error."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), STDERR_BYTES, max(0, size - STDERR_BYTES)).strip()

    async def _send(self, message: dict[str, Any], files: Sequence[int]) -> None:
        data = encode(message)
        sent = socket.send_fds(self._channel, [data], files)
        await asyncio.get_running_loop().sock_sendall(self._channel, data[sent:])

    async def _receive(self) -> dict[str, Any]:
        """Receives the next message. A hostile child may send messages that are too long or not
        JSON."""
        (size,) = HEADER.unpack(await self._read(HEADER.size))
        if size > self._limits.result_bytes:
            raise exceeded(self._limits, "result_bytes")
        try:
            message = json.loads(await self._read(size))
        except (ValueError, RecursionError):
            raise corrupt("The file cannot be read.") from None
        return message if isinstance(message, dict) else {}

    async def _read(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < size:
            received = await loop.sock_recv(self._channel, min(size - len(data), 1 << 16))
            if not received:
                raise EOFError
            data += received
        return bytes(data)

    async def _exit_error(self) -> MediaError:
        code: int | None
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                code = await self._process.wait()
        except TimeoutError:
            code = None
            self._process.kill()
            await self._ended()
        stderr_tail = self.stderr_tail()
        log.warning("a child process died (%s): %s", code, stderr_tail.decode(errors="replace"))
        return exit_cause(code, stderr_tail, self._limits) or crashed()
