"""The interface between the worker and the code that runs one kind of job.

To add a handler, add a class to a package called `handlers`. The worker discovers the class, and
creates it with the attributes of `WorkerResources` (app.py) that its constructor names.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import ClassVar

from media_service.discovery import call_with, find_modules
from media_service.errors import Fault
from media_service.jobs.model import Claim, JobKind
from media_service.jobs.progress import Progress


class GaveWay(Exception):
    """The handler stopped so that a job of another owner can run. The job returns to the queue, and
    the attempt does not count."""


class JobHandler(ABC):
    """Runs the jobs of one `kind`. `time_limit` is the maximum duration of one attempt. None means
    that the work itself is bounded."""

    kind: ClassVar[JobKind]
    time_limit: ClassVar[timedelta | None] = None

    @abstractmethod
    async def run(self, claim: Claim, progress: Progress) -> None:
        """Does the work and reports its progress. Ends the job (`claimed_jobs.finish`) in the
        transaction that has its effects. If `finish` returns False, the worker has lost the job,
        and the transaction must be rolled back.

        Raises an error if the work fails. If a retry may succeed, the job is queued again with an
        increasing delay. Raises GaveWay to let others run.
        """

    @abstractmethod
    async def give_up(self, claim: Claim, fault: Fault) -> None:
        """Records after the last attempt that the work failed permanently, and ends the job."""


def handler_types() -> Iterator[type[JobHandler]]:
    for module in find_modules("handlers"):
        for found in vars(module).values():
            own = isinstance(found, type) and found.__module__ == module.__name__
            if own and issubclass(found, JobHandler):
                yield found


def find_handlers(
    resources: object, skipped: Collection[JobKind] = ()
) -> dict[JobKind, JobHandler]:
    """Creates every handler from the attributes of `resources`, apart from those of the kinds of
    jobs that other workers run. Returns them by kind of job."""
    return {
        handler.kind: call_with(handler, resources)
        for handler in handler_types()
        if handler.kind not in skipped
    }
