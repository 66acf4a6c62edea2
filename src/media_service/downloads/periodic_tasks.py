"""Removes the keys of erased signers."""

from media_service.db.database import Database
from media_service.jobs.periodic import HOUR, Batches, PeriodicTask
from media_service.media import queries

BATCH = 500


async def remove_erased_signers(database: Database) -> Batches:
    while True:
        async with database.connection() as db:
            removed = await queries.remove_erased_signers(db, BATCH)
        yield removed
        if removed < BATCH:
            return


TASKS = (PeriodicTask("keys of erased signers", HOUR, remove_erased_signers),)
