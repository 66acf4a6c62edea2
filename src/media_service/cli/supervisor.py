"""Child processes that live no longer than their parent."""

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
    """Something to run in a child before its program: ties its life to ours, even when we are
    killed. Linux only; elsewhere a killed parent leaves its children."""
    if sys.platform != "linux":
        return None
    # Looked up here, so that the child only has to call it.
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return tie


@dataclass(frozen=True)
class Child:
    """A process, and how another one like it is started."""

    process: subprocess.Popen[bytes]
    begin: Callable[[], subprocess.Popen[bytes]]


@dataclass
class Supervisor:
    """Starts children and, on leaving the context, stops them, the youngest first.

    Not for processes that run threads: see `preexec_fn` in the documentation of subprocess.
    """

    children: dict[str, Child] = field(default_factory=dict)

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str],
        output: IO[bytes] | None = None,
    ) -> None:
        """Starts a child. Its output goes to `output`, or to our stderr."""

        def begin() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output or sys.stderr,
                stderr=output or sys.stderr,
                # A session of its own: Ctrl-C reaches us alone, and we stop the children in order.
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - this process has one thread
            )

        self.children[name] = Child(begin(), begin)

    def start_again(self, name: str) -> None:
        """Another one in the place of a child that has ended."""
        begin = self.children[name].begin
        self.children[name] = Child(begin(), begin)

    def dead(self) -> tuple[str, int] | None:
        """(name, exit status) of a child that has ended, if any."""
        for name, child in self.children.items():
            if (status := child.process.poll()) is not None:
                return name, status
        return None

    def stop(self) -> None:
        """Asks each child to end, and kills it if it has not after the grace."""
        deadline = time.monotonic() + GRACE_SECONDS
        while self.children:
            _, child = self.children.popitem()
            process = child.process
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
