"""Starts child processes by forking them from a process that has already loaded the codecs."""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Self

from media_service.codecs.sandbox.environment import base_environment
from media_service.codecs.sandbox.errors import SandboxBroken
from media_service.codecs.sandbox.fork_server import REPORT
from media_service.codecs.sandbox.limits import END_SECONDS
from media_service.codecs.sandbox.messages import encode

log = logging.getLogger(__name__)

# The signals of a process that a file may have made to do what its program does not do.
CRASHES = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGABRT, -signal.SIGSYS}
STDERR_BYTES = 2000
WARM_UP_SECONDS = 10.0
POLL_SECONDS = 0.01


class ForkedProcess:
    """A process that a fork server forked. `crashed` is called if a crash ended it."""

    def __init__(self, status: socket.socket, crashed: Callable[[], None]) -> None:
        self._status = status
        self._status.setblocking(False)
        self._crashed = crashed
        self._exit_code: int | None = None

    async def started(self) -> int:
        """Returns the process id. Raises EOFError if the fork server ended."""
        return await self._report()

    def kill(self) -> None:
        with suppress(OSError):  # the fork server ended
            self._status.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Kills it, without waiting for its end."""
        self._status.close()

    async def wait(self) -> int:
        """Waits until it ended and returns its exit code; a negative one is the signal that ended
        it."""
        if self._exit_code is None:
            try:
                self._exit_code = await self._report()
            except EOFError:  # children are killed with their fork server
                self._exit_code = -signal.SIGKILL
            self._status.close()
            if self._exit_code in CRASHES:
                self._crashed()
        return self._exit_code

    async def _report(self) -> int:
        data = b""
        while len(data) < REPORT.size:
            try:
                received = await asyncio.get_running_loop().sock_recv(
                    self._status, REPORT.size - len(data)
                )
            except ConnectionError:
                received = b""
            if not received:
                raise EOFError
            data += received
        (number,) = REPORT.unpack(data)
        return int(number)


class ForkServer:
    """A process that has imported modules and forks children. It starts when the first child is
    needed, or WARM_UP_SECONDS after entering the context. This is an async context manager: leaving
    it ends the process.

    Forked processes have the same memory layout, so a crash replaces the fork server: a file that
    crashes its child learns nothing about the layout of the next one.
    """

    def __init__(self) -> None:
        self._modules: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed on exit)
        # Those that were replaced. Each ends after its last child.
        self._replaced: list[subprocess.Popen[bytes]] = []
        self._warming: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._warming = asyncio.create_task(self._warm_up())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._warming:
            self._warming.cancel()
        self._replace()
        for process in self._replaced:
            process.kill()
            if not await ended(process):
                message = "fork server %s was killed and has not ended in %g seconds"
                log.error(message, process.pid, END_SECONDS)
        self._stderr.close()

    def preload(self, tasks: Sequence[str]) -> None:
        """Lets later children start with the modules of `tasks` imported."""
        modules = {task.partition(":")[0] for task in tasks}
        if not modules <= self._modules:
            self._modules |= modules
            self._replace()

    def fork(self, setup: Mapping[str, Any], channel: socket.socket, stderr: int) -> ForkedProcess:
        """Starts a child with a socket to the service. Raises SandboxBroken."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                control = self._send(
                    encode(dict(setup)), [theirs.fileno(), channel.fileno(), stderr]
                )
            except OSError as error:
                ours.close()
                raise SandboxBroken(f"the fork server does not answer: {error}") from error
        return ForkedProcess(ours, lambda: self._replace(control))

    def stderr_tail(self) -> bytes:
        """The end of its standard error."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), STDERR_BYTES, max(0, size - STDERR_BYTES)).strip()

    async def _warm_up(self) -> None:
        """Starts the process after a delay, because a service that has just started has other work
        to do and may be short-lived."""
        await asyncio.sleep(WARM_UP_SECONDS)
        if self._control is None and self._modules:
            self._control = self._start()

    def _send(self, message: bytes, files: Sequence[int]) -> socket.socket:
        """Sends a request, and returns the socket of the fork server that gets it.
        Raises OSError."""
        if self._control:
            try:
                send_whole(self._control, message, files)
            except OSError as error:
                log.warning("a fork server ended: %s %r", error, self.stderr_tail())
                self._replace()
            else:
                return self._control
        self._control = self._start()
        send_whole(self._control, message, files)
        return self._control

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        setup = {
            "parent": os.getpid(),
            "control": theirs.fileno(),
            "modules": sorted(self._modules),
        }
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-s", "-B"),
                    *("-m", f"{__package__}.fork_server", json.dumps(setup)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                cwd="/",
                env=base_environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return ours

    def _replace(self, control: socket.socket | None = None) -> None:
        """Lets the next child start from a new fork server, unless that of `control` was replaced
        already."""
        if self._control is None or control not in {None, self._control}:
            return
        self._control.close()
        self._control = None
        if self._process:
            self._replaced.append(self._process)
            self._process = None
        self._replaced = [process for process in self._replaced if process.poll() is None]


async def ended(process: "subprocess.Popen[bytes]") -> bool:
    """Waits END_SECONDS at most. `Popen.wait` with a timeout would sleep in a thread, which fails
    when libfaketime sets the clock, as in tests."""
    deadline = time.monotonic() + END_SECONDS
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def send_whole(control: socket.socket, message: bytes, files: Sequence[int]) -> None:
    """Raises OSError, also if the fork server does not read: a message fits into the buffer of the
    socket."""
    if socket.send_fds(control, [message], files) < len(message):
        raise OSError("its socket is full")
