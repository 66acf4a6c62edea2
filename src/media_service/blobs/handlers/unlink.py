"""The job that removes the bytes of a blob without references."""

import logging
from collections.abc import Mapping
from datetime import timedelta

from media_service.blobs import queries
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.errors import Fault
from media_service.failpoints import failpoint
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs
from media_service.storage.blob_store import BlobStore

log = logging.getLogger(__name__)

# When a job gives up, another one starts after this delay, because unused bytes must not remain,
# above all in the public store.
RETRY_DELAY = timedelta(hours=1)


class UnlinkHandler(JobHandler):
    """Runs UNLINK jobs. The subject of a job is a blob id. If the blob still has no references, the
    job removes its bytes and then its row. `stores` maps the names in `Blob.store` to stores."""

    kind = JobKind.UNLINK

    def __init__(self, database: Database, stores: Mapping[str, BlobStore]) -> None:
        self._database = database
        self._stores = stores

    async def run(self, claim: Claim, progress: Progress) -> None:
        async with self._database.connection() as db:
            blob = await queries.begin_unlink(db, claim.subject_id)
        if blob is not None:
            driver = self._stores[blob.store].driver
            failpoint("unlink.before")
            await driver.abort(blob.key, "")  # parts of an interrupted write
            await driver.delete(blob.key)
            failpoint("unlink.removed")
        async with self._database.transaction() as tx:
            if await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED):
                await queries.remove(tx, claim.subject_id)
        failpoint("unlink.after")

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        log.error("cannot remove blob %s: %s", claim.subject_id, fault.message)
        async with self._database.transaction() as tx:
            if await claimed_jobs.finish(tx, claim, JobState.FAILED, fault):
                await tx.enqueue(NewJob(JobKind.UNLINK, claim.subject_id, delay=RETRY_DELAY))
