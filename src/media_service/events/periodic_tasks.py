"""Removes old events, and the places of sinks that are no longer in use."""

from datetime import timedelta

from media_service.db.database import Database
from media_service.events import queries
from media_service.jobs.periodic import HOUR, MINUTE, Batches, PeriodicTask

BATCH = 2000


async def remove_old_events(database: Database, keep_events: timedelta) -> Batches:
    while True:
        async with database.connection() as db:
            removed = await queries.remove_old(db, keep_events, BATCH)
        yield removed
        if removed < BATCH:
            return


async def forget_sinks(database: Database, keep_events: timedelta) -> Batches:
    async with database.connection() as db:
        yield await queries.forget_sinks(db, keep_events)


TASKS = (
    PeriodicTask("old events", MINUTE, remove_old_events),
    PeriodicTask("unused event sinks", HOUR, forget_sinks),
)
