"""Removes the bytes of uploads that ended without a media; ends sessions that rested too long."""

import logging
from datetime import timedelta

from media_service.db.database import Database
from media_service.db.events import UploadChanged
from media_service.db.new_job import NewJob
from media_service.errors import Fault
from media_service.failpoints import failpoint
from media_service.idempotency import queries as keys
from media_service.jobs import queries as jobs
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.storage.blob_store import BlobStore
from media_service.uploads import queries
from media_service.uploads.model import UploadState

log = logging.getLogger(__name__)

BATCH = 100
KEYS_BATCH = 1000
# The next attempt after one that was given up: nothing else would remove these bytes.
AGAIN = timedelta(hours=1)


class DiscardHandler:
    """The DISCARD job."""

    def __init__(self, database: Database, store: BlobStore) -> None:
        self._database = database
        self._store = store

    async def run(self, claim: Claim, progress: Progress) -> None:
        async with self._database.connection() as db:
            upload = await queries.get(db, claim.subject_id)
        if upload is not None and upload.state.final and upload.state is not UploadState.FINISHED:
            failpoint("discard.before")
            key = self._store.key(upload.blob_id)
            await self._store.driver.abort(key, upload.store_session)
            await self._store.driver.delete(key)
            failpoint("discard.removed")
        async with self._database.transaction() as tx:
            if await jobs.finish(tx, claim, JobState.SUCCEEDED):
                await queries.forget_parts(tx, claim.subject_id)
        failpoint("discard.after")

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        log.error("bytes of upload %s could not be removed: %s", claim.subject_id, fault.message)
        async with self._database.transaction() as tx:
            if await jobs.finish(tx, claim, JobState.FAILED, fault):
                await tx.enqueue(NewJob(JobKind.DISCARD, claim.subject_id, delay=AGAIN))


async def expire_uploads(database: Database) -> int:
    """Ends sessions past their expire_time; returns how many."""
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
    """Removes idempotency keys that were kept for long enough; returns how many."""
    total = 0
    while True:
        async with database.transaction() as tx:
            await queries.prolong_keys(tx)
            removed = await keys.forget_expired(tx, KEYS_BATCH)
        total += removed
        if removed < KEYS_BATCH:
            return total
