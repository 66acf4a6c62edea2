"""Writes what is searched, soon after media have changed."""

from datetime import timedelta

from media_service.db.database import Database
from media_service.jobs.periodic import Batches, PeriodicTask
from media_service.search.indexing import write_due


async def write_all_due(database: Database) -> Batches:
    changed = 1
    while changed:
        async with database.transaction() as tx:
            changed = await write_due(tx)
        yield 0  # the log does not tell what happens every second


TASKS = (PeriodicTask("search", timedelta(seconds=1), write_all_due),)
