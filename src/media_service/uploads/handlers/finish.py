"""The job that completes an upload whose server died, or whose bytes must be read back."""

from media_service.errors import Fault
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind
from media_service.jobs.progress import Progress
from media_service.uploads.finish import Finisher


class FinishHandler(JobHandler):
    """Runs FINISH jobs. The subject of a job is an upload id."""

    kind = JobKind.FINISH

    def __init__(self, finisher: Finisher) -> None:
        self._finisher = finisher

    async def run(self, claim: Claim, progress: Progress) -> None:
        await self._finisher.finish_job(claim)

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        await self._finisher.give_up_job(claim, fault)
