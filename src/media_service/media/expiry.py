"""Deletes media whose `expire_time` has passed."""

from datetime import timedelta

from media_service.db.database import Database
from media_service.media import queries
from media_service.media.service import record_change

BATCH = 100


async def expire_due(database: Database, purge_after: timedelta) -> int:
    """Soft-deletes the media that have expired. Returns their number."""
    count = 0
    while True:
        async with database.transaction() as tx:
            due = await queries.due_for_expiry(tx, BATCH)
            before = await queries.get_many(tx, due)
            for media_id in due:
                await queries.set_deleted(tx, media_id, purge_after)
            after = await queries.get_many(tx, due)
            for media_id in due:
                await record_change(tx, before[media_id], after[media_id])
        count += len(due)
        if len(due) < BATCH:
            return count
