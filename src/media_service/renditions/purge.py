"""Purges that are due."""

import logging

from media_service.db.database import Database
from media_service.failpoints import failpoint
from media_service.media import queries
from media_service.media.service import remove

log = logging.getLogger(__name__)

BATCH = 100


async def purge_due(database: Database) -> int:
    """Purges deleted media past their purge_time; returns how many."""
    purged = 0
    for _ in range(BATCH):
        # Each by itself: a long film has thousands of segments.
        async with database.transaction() as tx:
            due = await queries.due_for_purge(tx, 1)
            for media_id in due:
                await remove(tx, media_id)
        if not due:
            break
        failpoint("media.purge-due.after")
        purged += 1
    return purged
