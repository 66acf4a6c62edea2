"""The data directory, and the PostgreSQL in it: one process at a time owns them."""

import fcntl
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from media_service.cli.process import Misconfigured
from media_service.config import Config
from media_service.db.embedded import embedded_postgres, running_postgres
from media_service.errors import Reason, Unavailable


@contextmanager
def data_dir_lock(folder: Path) -> Iterator[bool]:
    """Whether the directory's lock is ours, for as long as the context lasts. The lock ends with
    its process, however that ends."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


@contextmanager
def borrowed_database(config: Config) -> Iterator[str]:
    """URL of MEDIA_DATABASE_URL, or of the PostgreSQL in the data directory.

    The one of a `dev` that runs is left running. If none runs, it runs as long as the context
    lasts, with the directory's lock held: a `dev` that adopted it would have it stopped under it.
    Raises Unavailable.
    """
    if config.database_url:
        yield config.database_url
        return
    folder = config.data_dir / "postgres"
    if not (folder / "PG_VERSION").exists():
        raise Misconfigured(
            f"there is no database: MEDIA_DATABASE_URL is not set, and `media-service dev` never"
            f" ran in {config.data_dir} (MEDIA_DATA_DIR)"
        )
    with data_dir_lock(config.data_dir) as mine:
        if mine:
            with ExitStack() as stack:
                try:
                    with signals_held():  # a start that breaks off may leave it running
                        url = stack.enter_context(embedded_postgres(folder))
                except subprocess.SubprocessError as error:
                    raise unavailable(f"PostgreSQL did not start: {error}") from error
                yield url
        elif running := running_postgres(folder):
            yield running
        else:
            raise unavailable(f"The database in {folder} is starting or stopping; try again.")


@contextmanager
def signals_held() -> Iterator[None]:
    """What would end this process, or a child that it starts now, comes at the end of the
    context."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unavailable(message: str) -> Unavailable:
    return Unavailable(Reason.DATABASE_UNAVAILABLE, message)
