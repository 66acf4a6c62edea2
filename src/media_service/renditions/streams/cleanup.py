"""Removes the segments of streams that can no longer be played."""

from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.failpoints import failpoint
from media_service.jobs.model import JobKind
from media_service.renditions.streams import queries

# The number of streams that one transaction removes.
BATCH = 10


async def remove_abandoned(database: Database) -> int:
    """Removes the segments of streams that were replaced or whose jobs ended without publishing
    them, and the chunk jobs of removed streams. Returns the number of removed blobs."""
    async with database.transaction() as tx:
        unlink = await queries.remove_abandoned(tx, BATCH)
        await queries.forget_chunk_jobs(tx)
        await tx.enqueue(*(NewJob(JobKind.UNLINK, blob_id) for blob_id in unlink))
    if unlink:
        failpoint("stream.abandon.after")
    return len(unlink)
