"""The data directory and the PostgreSQL in it, which one process at a time owns."""

import fcntl
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from media_service.cli.service_process import Misconfigured
from media_service.config import Config
from media_service.db.embedded_postgres import PostgresFailed, embedded_postgres, running_postgres
from media_service.errors import Reason, Unavailable


@contextmanager
def data_dir_lock(folder: Path) -> Iterator[bool]:
    """Tries to lock the directory for the context. Yields whether that succeeded. The kernel
    releases the lock if the process dies."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


@contextmanager
def borrowed_database(config: Config) -> Iterator[str]:
    """Yields MEDIA_DATABASE_URL, or the URL of the PostgreSQL in the data directory.

    The PostgreSQL of a running `dev` is left running. If none runs, it runs for the context, with
    the directory locked: otherwise a new `dev` would adopt it and lose it again. Raises
    Unavailable.
    """
    if config.database_url:
        yield config.database_url
        return
    folder = config.data_dir / "postgres"
    if not (folder / "PG_VERSION").exists():
        raise Misconfigured(
            f"there is no database: set MEDIA_DATABASE_URL, or run `media-service dev` first;"
            f" MEDIA_DATA_DIR is {config.data_dir}"
        )
    with data_dir_lock(config.data_dir) as mine:
        if mine:
            with ExitStack() as stack:
                try:
                    with signals_held():  # an interrupted start may leave it running
                        url = stack.enter_context(embedded_postgres(folder))
                except PostgresFailed as error:
                    raise unavailable(f"PostgreSQL did not start: {error}") from error
                yield url
        elif running := running_postgres(folder):
            yield running
        else:
            raise unavailable(f"The database in {folder} is starting or stopping; try again.")


@contextmanager
def signals_held() -> Iterator[None]:
    """Delays signals that would end this process, or one that it starts now, until the end of
    the context."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unavailable(message: str) -> Unavailable:
    return Unavailable(Reason.DATABASE_UNAVAILABLE, message)
