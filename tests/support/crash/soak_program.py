"""What the programs of `make soak` share: a PostgreSQL, progress, and an orderly end."""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psycopg
from click import echo

from media_service.db.embedded_postgres import embedded_postgres
from media_service.db.migrate import migrate
from tests.support.databases import with_database
from tests.support.signals import start_programs_with_default_signals

# The migrated database that the databases of deployments are copies of.
TEMPLATE = "soak"
# Between two lines of progress that are not shown on a terminal.
PAUSE_SECONDS = 10.0


@contextmanager
def soak_postgres() -> Iterator[str]:
    """Yields the URL of a new PostgreSQL, which contains TEMPLATE."""
    with (
        tempfile.TemporaryDirectory(prefix="media-soak-") as folder,
        embedded_postgres(Path(folder) / "postgres") as url,
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"create database {TEMPLATE}".encode())
        asyncio.run(migrate(with_database(url, TEMPLATE)))
        yield url


class Progress:
    """Rewrites one line on a terminal. Elsewhere, prints a line now and then."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._last = -PAUSE_SECONDS
        self._terminal = sys.stdout.isatty()

    def show(self, text: str) -> None:
        now = time.monotonic()
        if self._terminal:
            echo(f"\r\033[K{text}, {now - self._begun:.0f} s", nl=False)
        elif now - self._last >= PAUSE_SECONDS:
            self._last = now
            echo(f"{text}, {now - self._begun:.0f} s")

    def end(self, text: str) -> None:
        """Prints the result in the place of the progress."""
        before = "\r\033[K" if self._terminal else ""
        echo(f"{before}{text} ({time.monotonic() - self._begun:.0f} s)")


def run(soak: Callable[[], Sequence[str]]) -> NoReturn:
    """Runs a soak, which returns what was broken, and exits with 1 if anything was. Its processes
    end with it, also when it is interrupted or terminated."""
    start_programs_with_default_signals()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        broken = soak()
    except KeyboardInterrupt:
        sys.exit(130)
    for line in broken:
        echo(f"BROKEN: {line}", err=True)
    sys.exit(bool(broken))
