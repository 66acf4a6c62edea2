"""The results of jobs: the renditions that they rendered, if these still exist."""

from collections.abc import Sequence
from dataclasses import dataclass

from media_service.db.database import Database
from media_service.jobs.model import Job, JobState
from media_service.media import queries
from media_service.media.model import Media, Rendition
from media_service.media.reader import MediaReader

# The number of media that are read together, with all of their renditions.
READ_TOGETHER = 100


@dataclass(frozen=True, slots=True)
class JobResult:
    """The rendition that a job rendered, and its media."""

    media: Media
    rendition: Rendition


class JobResults:
    """Finds the results of jobs that the caller may see."""

    def __init__(self, database: Database, reader: MediaReader) -> None:
        self._database = database
        self._reader = reader

    async def of(self, job: Job) -> JobResult | None:
        return result_of(job, await self._reader.find(job.media_id)) if has_result(job) else None

    async def of_many(self, jobs: Sequence[Job]) -> list[JobResult | None]:
        results: dict[str, JobResult | None] = {}
        rendering = [job for job in jobs if has_result(job)]
        for start in range(0, len(rendering), READ_TOGETHER):
            group = rendering[start : start + READ_TOGETHER]
            async with self._database.connection() as db:
                found = await queries.get_many(db, list({job.media_id for job in group}))
            results |= {job.job_id: result_of(job, found.get(job.media_id)) for job in group}
        return [results.get(job.job_id) for job in jobs]


def has_result(job: Job) -> bool:
    return job.kind.renders and job.state is JobState.SUCCEEDED


def result_of(job: Job, media: Media | None) -> JobResult | None:
    rendition = media.rendered(job.rendition, job.pipeline) if media else None
    return JobResult(media, rendition) if media and rendition else None
