"""How workers learn that a job waits: they are told to look.

A look names no job. The worker that gets it makes an ordinary, fair claim.
So a look that is lost, late or doubled changes nothing but the time.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from media_service.db.database import Database
from media_service.db.notifications import JobRunnable
from media_service.jobs.model import Claim


class Looks(Protocol):
    """What tells one worker to look. None of these methods waits."""

    @property
    def up(self) -> bool:
        """Whether looks go the way that the settings choose."""
        ...

    def listen(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Calls `wake` for each look, within the context."""
        ...

    def accept(self, *, light: bool, heavy: bool) -> None:
        """From now on, the worker has free slots for such jobs, or has none."""
        ...

    def looked(self, *, light: bool, heavy: bool) -> None:
        """The worker has made a claim, because of all looks so far. `light`, `heavy`: whether more
        such jobs may wait, so that others must look, too."""
        ...

    def missed(self, claim: Claim) -> None:
        """The worker has found a job although nobody told it to look."""
        ...


@contextmanager
def notified(database: Database, wake: Callable[[], None]) -> Iterator[None]:
    """Calls `wake` for each notification that a job may be claimed."""
    with ExitStack() as stack:
        for heavy in (False, True):
            key = JobRunnable(heavy).key
            stack.enter_context(database.listen(JobRunnable, key, lambda _: wake()))
        yield


class NotifiedLooks:
    """Implements `Looks` with LISTEN/NOTIFY, which tells all workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def up(self) -> bool:
        """Without the database, nothing works; see `Readiness`."""
        return True

    def listen(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        return notified(self._database, wake)

    def accept(self, *, light: bool, heavy: bool) -> None:
        """Every worker is told, whether it has free slots or not."""

    def looked(self, *, light: bool, heavy: bool) -> None:
        """The others are told as well."""

    def missed(self, claim: Claim) -> None:
        """The others look from time to time, too."""
