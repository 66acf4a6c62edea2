"""The job that removes the bytes of an upload that ended without creating a media."""

import logging
from datetime import timedelta

from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.errors import Fault
from media_service.failpoints import failpoint
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs
from media_service.storage.blob_store import BlobStore
from media_service.uploads import queries
from media_service.uploads.model import UploadState

log = logging.getLogger(__name__)

# When a job gives up, another one starts after this delay. Nothing else removes these bytes.
RETRY_DELAY = timedelta(hours=1)


class DiscardHandler(JobHandler):
    """Runs DISCARD jobs. The subject of a job is an upload id."""

    kind = JobKind.DISCARD

    def __init__(self, database: Database, raw: BlobStore) -> None:
        self._database = database
        self._store = raw

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
            if await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED):
                await queries.forget_parts(tx, claim.subject_id)
        failpoint("discard.after")

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        log.error("cannot remove the bytes of upload %s: %s", claim.subject_id, fault.message)
        async with self._database.transaction() as tx:
            if await claimed_jobs.finish(tx, claim, JobState.FAILED, fault):
                await tx.enqueue(NewJob(JobKind.DISCARD, claim.subject_id, delay=RETRY_DELAY))
