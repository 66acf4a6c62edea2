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
# For a killed process. It ends at once, unless it waits for a disk that does not answer.
END_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
# A process that ran for this long has started well. Before, each start waits longer.
STABLE_SECONDS = 60.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# A script ignores some of these for its programs in the background, and nohup ignores another.
DEFAULT_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)


class ProcessEnded(Exception):
    """A process ended by itself, with an exit status."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"the {name} ended (status {status})")
        self.name = name


def prepare() -> Callable[[], None]:
    """Returns a function to run in a new process before its program. The process then has the
    default signals, and on Linux ends when this one dies."""
    # Looked up here, so that the new process only has to call it.
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def run() -> None:
        for number in DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if prctl:
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return run


@dataclass
class Backoff:
    """How long to wait before a process starts again. The pause doubles each time, unless the
    process ran for long in between."""

    pause: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def next(self) -> float:
        if time.monotonic() - self.started > STABLE_SECONDS:
            self.pause = 0.0
        self.pause = min(max(FIRST_PAUSE_SECONDS, 2 * self.pause), LONGEST_PAUSE_SECONDS)
        return self.pause

    def begun(self) -> None:
        self.started = time.monotonic()


@dataclass
class ManagedProcess:
    """A process, how to start another one like it, and when, if it was killed."""

    process: subprocess.Popen[bytes]
    begin: Callable[[], subprocess.Popen[bytes]]
    backoff: Backoff = field(default_factory=Backoff)
    due: float | None = None


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
                preexec_fn=prepare(),  # noqa: PLW1509 - this process has one thread
            )

        self.processes[name] = ManagedProcess(begin(), begin)

    def tend(self, report: Callable[[str], None]) -> None:
        """Starts the processes again that were killed, each after a pause. Raises ProcessEnded for
        one that ended by itself, because it had a reason."""
        for name, managed in self.processes.items():
            status = managed.process.poll()
            if status is None:
                continue
            if status >= 0:
                raise ProcessEnded(name, status)
            if managed.due is None:
                pause = managed.backoff.next()
                managed.due = time.monotonic() + pause
                report(f"The {name} was killed (signal {-status}). It restarts in {pause:.0f} s.")
            if time.monotonic() >= managed.due:
                managed.process, managed.due = managed.begin(), None
                managed.backoff.begun()

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
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
