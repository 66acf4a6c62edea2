"""Removes expired archives."""

from media_service.db.database import Database
from media_service.downloads.archives import queries
from media_service.jobs.periodic import MINUTE, Batches, PeriodicTask

# Each has up to 5000 files.
BATCH = 20


async def remove_expired_archives(database: Database) -> Batches:
    while True:
        async with database.connection() as db:
            removed = await queries.delete_expired_archives(db, BATCH)
        yield removed
        if removed < BATCH:
            return


TASKS = (PeriodicTask("expired archives", MINUTE, remove_expired_archives),)
