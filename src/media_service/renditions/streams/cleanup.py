"""Removes the segments of streams that can no longer be played."""

from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.failpoints import failpoint
from media_service.jobs.model import JobKind
from media_service.jobs.periodic import Batches
from media_service.jobs.queries import subjobs
from media_service.renditions.streams import queries


async def remove_abandoned(database: Database) -> Batches:
    """Removes the segments of streams that were replaced or whose jobs ended without publishing
    them, and the chunk jobs of removed streams. Yields numbers of removed blobs."""
    while True:
        # Use one transaction for each stream, because a long one has thousands of segments.
        async with database.transaction() as tx:
            found = await queries.abandoned(tx, 1)
            unlink = await queries.remove_abandoned(tx, found)
            await tx.enqueue(*(NewJob(JobKind.UNLINK, blob_id) for blob_id in unlink))
        if unlink:
            failpoint("stream.abandon.after")
        if not found:
            break
        yield len(unlink)
    # One transaction for each job, because their accounts would be locked in any order.
    while True:
        async with database.transaction() as tx:
            job_id = await queries.job_without_stream(tx)
            if job_id is None or not await subjobs.forget(tx, job_id):
                return
        yield 0
