"""Expires idle uploads, and removes ended uploads and old idempotency keys."""

from datetime import timedelta

from media_service.db.database import Database
from media_service.db.due_rows import DueBatches
from media_service.db.new_job import NewJob
from media_service.db.notifications import UploadChanged
from media_service.failpoints import failpoint
from media_service.idempotency import queries as keys
from media_service.jobs.model import JobKind
from media_service.jobs.periodic import MINUTE, Batches, PeriodicTask
from media_service.jobs.side_queue import run_waiting
from media_service.storage.blob_store import BlobStore
from media_service.uploads import queries
from media_service.uploads.handlers.discard import DiscardHandler
from media_service.uploads.model import UploadState

BATCH = 100
KEYS_BATCH = 1000
PARTS_BATCH = 10_000


async def expire_uploads(database: Database) -> Batches:
    """Sets uploads past their `expire_time` to EXPIRED."""
    batches = DueBatches(queries.TO_EXPIRE, BATCH)
    while not batches.done:
        async with database.transaction() as tx:
            expired = await queries.expire(tx, await batches.take(tx))
            await tx.enqueue(*(NewJob(JobKind.DISCARD, upload.upload_id) for upload in expired))
            for upload in expired:
                tx.notify(UploadChanged(upload.upload_id, UploadState.EXPIRED, upload.epoch))
                tx.audit(
                    "uploads.expire",
                    resource_id=upload.upload_id,
                    org_id=upload.owner.org_id,
                    project_id=upload.spec.project_id,
                )
            if expired:
                failpoint("upload.expire.before")
        if expired:
            failpoint("upload.expire.after")
        yield len(expired)


def discard(database: Database, raw: BlobStore) -> Batches:
    """Removes the bytes of uploads that ended without creating a media."""
    return run_waiting(database, DiscardHandler(database, raw))


async def forget_ended(database: Database, keep_ended_uploads: timedelta) -> Batches:
    """Removes the rows of uploads that ended long ago, with their parts."""
    while True:
        async with database.transaction() as tx:
            ended = await queries.ended(tx, keep_ended_uploads, BATCH)
            whole = await queries.forget(tx, ended, PARTS_BATCH)
        yield len(ended) if whole else 0
        if whole and len(ended) < BATCH:
            return


async def expire_keys(database: Database) -> Batches:
    """Removes expired idempotency keys."""
    while True:
        async with database.transaction() as tx:
            await queries.prolong_keys(tx)
            removed = await keys.delete_expired_keys(tx, KEYS_BATCH)
        yield removed
        if removed < KEYS_BATCH:
            return


TASKS = (
    PeriodicTask("expired uploads", MINUTE, expire_uploads),
    PeriodicTask("discarded uploads", MINUTE, discard),
    PeriodicTask("ended uploads", MINUTE, forget_ended),
    PeriodicTask("expired idempotency keys", MINUTE, expire_keys),
)
