"""Deletes media whose `expire_time` has passed."""

from collections.abc import Sequence
from datetime import timedelta

from media_service.db.database import Database
from media_service.db.due_rows import DueBatches
from media_service.db.transaction import Transaction
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
            await delete(tx, due, purge_after)
        yield len(due)


async def delete(
    tx: Transaction,
    media_ids: Sequence[str],
    purge_after: timedelta,
    *,
    at_most: timedelta | None = None,
    cause: str = "",
    outcome: str = "OK",
) -> None:
    """Soft-deletes locked media. `at_most`: see `set_deleted`. `cause`: the resource whose policy
    demands it. `outcome`: why."""
    before = await queries.get_many(tx, media_ids)
    for media_id in media_ids:
        await queries.set_deleted(tx, media_id, purge_after, at_most)
    after = await queries.get_many(tx, media_ids)
    for media_id in media_ids:
        await record_change(tx, before[media_id], after[media_id])
        tx.audit("media.delete", media_id=media_id, resource_id=cause, outcome=outcome)
