"""Removes deliveries that ended long ago."""

from datetime import timedelta

from media_service.db.database import Database
from media_service.jobs.periodic import MINUTE, Batches, PeriodicTask
from media_service.webhooks import queries

KEPT = timedelta(days=7)
BATCH = 2000


async def remove_ended_deliveries(database: Database) -> Batches:
    while True:
        async with database.connection() as db:
            removed = await queries.remove_ended(db, KEPT, BATCH)
        yield removed
        if removed < BATCH:
            return


TASKS = (PeriodicTask("ended webhook deliveries", MINUTE, remove_ended_deliveries),)
