"""A whole service that can be struck by SIGKILL, and started again on the same data."""

import contextlib
from pathlib import Path

import psutil

from tests.support.service import STOP_SECONDS, alive, environment, start


class Machine:
    """One `dev` with ports and data of its own."""

    def __init__(self, folder: Path) -> None:
        # One slot, so that a job which does not end leaves the others waiting.
        self._environ = environment(folder / "data", MEDIA_WORKER_SLOTS="1")
        self.service = start(self._environ)
        self._dying: list[psutil.Process] = []

    def kill_part(self, name: str) -> None:
        """SIGKILL to "serve" or "work", in whose place `dev` starts another."""
        part = self.service.part(name)
        part.kill()
        part.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL to `dev`; PostgreSQL outlives it."""
        self._dying = self.service.children()
        self.service.process.kill()

    def restart(self) -> None:
        """Once all that was killed, and what ends with it, is gone."""
        self.service.process.wait(STOP_SECONDS)
        assert alive(self._dying) == []
        self.service = start(self._environ)

    def close(self) -> None:
        if self.service.process.poll() is None:
            family = self.service.children()
            self.service.stop()
            assert alive(family) == []
        with contextlib.suppress(OSError, psutil.NoSuchProcess):  # a failed test left it behind
            self.service.postgres().terminate()
