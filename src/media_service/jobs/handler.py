"""What the worker asks of the code that does a kind of job."""

from typing import Protocol

from media_service.errors import Fault
from media_service.jobs.model import Claim
from media_service.jobs.progress import Progress


class JobHandler(Protocol):
    async def run(self, claim: Claim, progress: Progress) -> None:
        """Does the work, tells how far it is, and ends the job (`queries.finish`) in the
        transaction of its effects.

        If that says the job is no longer this worker's, rolls back: another one has it, or it was
        cancelled. Raises for whatever may work later; the worker puts the job back with a growing
        delay.
        """

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        """Records that the work failed for good, and ends the job, after the last attempt."""
