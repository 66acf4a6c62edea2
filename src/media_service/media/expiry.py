"""Deletes media whose `expire_time` has passed."""

from datetime import timedelta

from media_service.db.database import Database
from media_service.db.due_rows import DueBatches
from media_service.jobs.periodic import Batches
from media_service.media import queries
from media_service.media.service import record_change

BATCH = 100


async def expire_due(database: Database, purge_after: timedelta) -> Batches:
    """Soft-deletes the media that have expired."""
    batches = DueBatches(queries.TO_EXPIRE, BATCH)
    while not batches.done:
        async with database.transaction() as tx:
            due = await batches.take(tx)
            before = await queries.get_many(tx, due)
            for media_id in due:
                await queries.set_deleted(tx, media_id, purge_after)
            after = await queries.get_many(tx, due)
            for media_id in due:
                await record_change(tx, before[media_id], after[media_id])
                tx.audit("media.delete", media_id=media_id)
        yield len(due)
