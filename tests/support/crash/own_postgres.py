"""A PostgreSQL that a test can stop and start. A separate process starts it, because a process with
threads, such as gRPC's, must not fork."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from media_service.db.embedded_postgres import embedded_postgres
from tests.support.service import STOP_SECONDS

ROOT = Path(__file__).parents[3]
NOTHING: Mapping[str, str] = {}


class OwnPostgres:
    """`environ` has additional environment variables for PostgreSQL."""

    def __init__(self, folder: Path, environ: Mapping[str, str] = NOTHING) -> None:
        settings = [f"{name}={value}" for name, value in environ.items()]
        self._command = [
            sys.executable,
            "-m",
            "tests.support.crash.own_postgres",
            str(folder),
            *settings,
        ]
        self._process = self._start()
        self.url = self._told()

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _told(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def restart(self) -> None:
        """Restarts like an administrator, which ends all connections."""
        self.close()
        self._process = self._start()
        assert self._told() == self.url

    def close(self) -> None:
        self._process.communicate(timeout=STOP_SECONDS)
        assert self._process.returncode == 0


if __name__ == "__main__":
    for setting in sys.argv[2:]:
        name, _, value = setting.partition("=")
        os.environ[name] = value
    with embedded_postgres(Path(sys.argv[1])) as url:
        print(url, flush=True)
        sys.stdin.read()
