"""Deletes media that are older than the policy of their organization or project allows."""

from datetime import timedelta

from media_service.db.database import Database
from media_service.jobs.periodic import HOUR, Batches, PeriodicTask
from media_service.media.expiry import delete
from media_service.policies.queries import settings as queries

BATCH = 100
# In the audit log, why a media was deleted.
RETENTION_ENDED = "RETENTION_ENDED"


async def delete_outdated(database: Database, purge_after: timedelta) -> Batches:
    """Soft-deletes media. The audit log names the resource whose policy demands it."""
    async with database.connection() as db:
        retentions = await queries.retentions(db)
    for retention in retentions:
        found = BATCH
        while found == BATCH:
            async with database.transaction() as tx:
                due = await queries.outdated(tx, retention, BATCH)
                await delete(
                    tx, due, purge_after, cause=retention.resource, outcome=RETENTION_ENDED
                )
            found = len(due)
            yield found


TASKS = (PeriodicTask("media beyond their retention", HOUR, delete_outdated),)
