"""A complete service that tests can kill and restart on the same data."""

import contextlib
from pathlib import Path

import psutil

from tests.support.service import STOP_SECONDS, alive, environment, start


class Machine:
    """One `dev` with its own ports and data."""

    def __init__(self, folder: Path) -> None:
        # One slot, so that a job that does not end blocks all others.
        self._environ = environment(folder / "data", MEDIA_WORKER_SLOTS="1")
        self.service = start(self._environ)
        self._dying: list[psutil.Process] = []

    def kill_part(self, name: str) -> None:
        """Kills "serve" or "work". `dev` starts a replacement."""
        part = self.service.part(name)
        part.kill()
        part.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Kills `dev`. PostgreSQL survives it."""
        self._dying = self.service.children()
        self.service.process.kill()

    def restart(self) -> None:
        """Waits until all killed processes and their dependents are gone, then restarts `dev`."""
        self.service.process.wait(STOP_SECONDS)
        assert alive(self._dying) == []
        self.service = start(self._environ)

    def close(self) -> None:
        if self.service.process.poll() is None:
            family = self.service.children()
            self.service.stop()
            assert alive(family) == []
        with contextlib.suppress(OSError, psutil.NoSuchProcess):  # left behind by a failed test
            self.service.postgres().terminate()
