"""Compares media whose hashes are new with those of their tenant."""

from media_service.db.database import Database
from media_service.duplicates import queries
from media_service.jobs.periodic import MINUTE, Batches, PeriodicTask

BATCH = 20


async def compare(database: Database) -> Batches:
    while True:
        async with database.transaction() as tx:
            due = await queries.to_compare(tx, BATCH)
            for media_id in due:
                await queries.compare(tx, media_id)
        yield len(due)
        if len(due) < BATCH:
            return


TASKS = (PeriodicTask("media compared with others", MINUTE, compare),)
