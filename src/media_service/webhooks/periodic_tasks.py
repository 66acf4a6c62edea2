"""Housekeeping of webhooks."""

from datetime import timedelta

from media_service.db.database import Database
from media_service.db.notifications import WebhookDue
from media_service.jobs.periodic import MINUTE, Batches, PeriodicTask
from media_service.webhooks.disabling import UNSENT, disable
from media_service.webhooks.queries import due, log, webhooks

# How long deliveries that ended are in the log.
KEPT = timedelta(days=7)
BATCH = 2000
# How long deliveries wait for a worker that has the key of the secret.
WAITING = timedelta(days=7)
DISABLED = 100


async def remove_ended_deliveries(database: Database) -> Batches:
    while True:
        async with database.connection() as db:
            removed = await log.remove_ended(db, KEPT, BATCH)
        yield removed
        if removed < BATCH:
            return


async def remove_old_secrets(database: Database) -> Batches:
    async with database.connection() as db:
        yield await webhooks.remove_old_secrets(db)


async def disable_unsent(database: Database) -> Batches:
    while True:
        async with database.connection() as db:
            found = await webhooks.unsent(db, WAITING, DISABLED)
        for webhook in found:
            async with database.transaction() as tx:
                await disable(tx, webhook, UNSENT)
        yield len(found)
        if len(found) < DISABLED:
            return


async def repair_due_times(database: Database) -> Batches:
    async with database.connection() as db:
        if repaired := await due.repair(db):
            db.notify(WebhookDue())
        yield repaired


TASKS = (
    PeriodicTask("ended webhook deliveries", MINUTE, remove_ended_deliveries),
    PeriodicTask("old webhook secrets", MINUTE, remove_old_secrets),
    PeriodicTask("webhooks without a key", MINUTE, disable_unsent),
    PeriodicTask("webhooks that are due", MINUTE, repair_due_times),
)
