"""Expires idle uploads and old idempotency keys."""

from media_service.db.database import Database
from media_service.db.events import UploadChanged
from media_service.db.new_job import NewJob
from media_service.failpoints import failpoint
from media_service.idempotency import queries as keys
from media_service.jobs.model import JobKind
from media_service.jobs.periodic import MINUTE, PeriodicTask
from media_service.uploads import queries
from media_service.uploads.model import UploadState

BATCH = 100
KEYS_BATCH = 1000


async def expire_uploads(database: Database) -> int:
    """Sets uploads past their `expire_time` to EXPIRED. Returns their number."""
    async with database.transaction() as tx:
        expired = await queries.expire(tx, BATCH)
        await tx.enqueue(*(NewJob(JobKind.DISCARD, upload.upload_id) for upload in expired))
        for upload in expired:
            tx.emit(UploadChanged(upload.upload_id, UploadState.EXPIRED, upload.epoch))
        if expired:
            failpoint("upload.expire.before")
    if expired:
        failpoint("upload.expire.after")
    return len(expired)


async def expire_keys(database: Database) -> int:
    """Removes expired idempotency keys. Returns their number."""
    total = 0
    while True:
        async with database.transaction() as tx:
            await queries.prolong_keys(tx)
            removed = await keys.forget_expired(tx, KEYS_BATCH)
        total += removed
        if removed < KEYS_BATCH:
            return total


TASKS = (
    PeriodicTask("expired uploads", MINUTE, expire_uploads),
    PeriodicTask("expired idempotency keys", MINUTE, expire_keys),
)
