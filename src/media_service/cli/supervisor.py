"""Starts processes that end with the process that started them."""

import contextlib
import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Self

GRACE_SECONDS = 20.0
PR_SET_PDEATHSIG = 1


def die_with_parent() -> Callable[[], None] | None:
    """Returns a function to run in a new process before its program, which ends the process when
    this one dies. Linux only; elsewhere the processes of a killed parent go on."""
    if sys.platform != "linux":
        return None
    # Looked up here, so that the new process only has to call it.
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return tie


@dataclass(frozen=True)
class ManagedProcess:
    """A process, and how to start another one like it."""

    process: subprocess.Popen[bytes]
    begin: Callable[[], subprocess.Popen[bytes]]


@dataclass
class Supervisor:
    """Starts processes, and stops them in reverse order on leaving the context.

    Not for programs that run threads: see `preexec_fn` in the documentation of subprocess.
    """

    processes: dict[str, ManagedProcess] = field(default_factory=dict)

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        output: IO[bytes] | None = None,
    ) -> None:
        """Starts a process. Its output goes to `output`, or to standard error."""

        def begin() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output or sys.stderr,
                stderr=output or sys.stderr,
                # A session of its own: Ctrl-C reaches only this process, which stops the others in
                # order.
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - this process has one thread
            )

        self.processes[name] = ManagedProcess(begin(), begin)

    def start_again(self, name: str) -> None:
        """Replaces a process that has ended."""
        begin = self.processes[name].begin
        self.processes[name] = ManagedProcess(begin(), begin)

    def dead(self) -> tuple[str, int] | None:
        """Returns (name, exit status) of a process that has ended, if any."""
        for name, managed in self.processes.items():
            if (status := managed.process.poll()) is not None:
                return name, status
        return None

    def stop(self) -> None:
        """Terminates each process, and kills it if it has not ended after the grace period."""
        deadline = time.monotonic() + GRACE_SECONDS
        while self.processes:
            _, managed = self.processes.popitem()
            process = managed.process
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(1.0, deadline - time.monotonic()))
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
