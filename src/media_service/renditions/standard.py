"""The standard renditions of media: thumbnails and presets.

The job that ingests an upload starts them. They start anew when a caller asks for it, and when
their jobs failed by no fault of the media.
"""

from datetime import timedelta

from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.errors import Reason
from media_service.idempotency import queries as keys
from media_service.idempotency.model import KeyClaim, RequestKey
from media_service.jobs.model import Job, JobKind
from media_service.jobs.periodic import Batches
from media_service.jobs.queries import reading
from media_service.jobs.service import not_found as job_not_found
from media_service.media.service import check_scanned, inspectable, load
from media_service.quotas import queries as quotas
from media_service.quotas.model import Charged, Measure
from media_service.renditions import queries

# Errors of the service and its machines. The same job may succeed later.
TEMPORARY = (
    Reason.DATABASE_UNAVAILABLE,
    Reason.INTERNAL,
    Reason.PROCESSING_UNAVAILABLE,
    Reason.STORAGE_FULL,
    Reason.STORAGE_UNAVAILABLE,
)
# A failed job starts again after this time, unless it is older than two days: by then, it is not
# temporary.
PAUSE = timedelta(hours=6)
OLDEST = timedelta(days=2)
BATCH = 1000


class StandardRenditions:
    """Use cases of standard renditions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reprocess(
        self, principal: Principal, media_id: str, key: RequestKey | None = None
    ) -> Job:
        """Starts a job that inspects a media again and renders its standard renditions anew. If one
        has not ended, returns that one. A repeated call with the same `key` returns the job of the
        first call.

        Raises NotFound (MEDIA_NOT_FOUND, JOB_NOT_FOUND), FailedPrecondition (MEDIA_DELETED,
        MEDIA_QUARANTINED, QUOTA_EXCEEDED), Unavailable (MEDIA_NOT_READY), Aborted
        (IDEMPOTENCY_CONFLICT).
        """
        async with self._database.transaction() as tx:
            media = await load(tx, principal, media_id, lock=True)
            new = NewJob(
                JobKind.INGEST,
                media_id,
                media.owner,
                project_id=media.project_id,
                actor=principal.owner,
                charged=principal.charged,
                anew=True,
            )
            open_id = await reading.unfinished(tx, JobKind.INGEST, media_id)
            wanted_id = job_id = open_id or new.job_id
            if key is not None:
                job_id, _ = await keys.claim(tx, KeyClaim(key, wanted_id))
            if job_id == wanted_id:  # the first call with this key
                check_scanned(inspectable(media))
                charged = Charged(media.owner, media.project_id)
                (refusal,) = await quotas.exhausted(tx, [charged], [Measure.PROCESSING_SECONDS])
                if refusal:
                    raise refusal
                if open_id is None:
                    await tx.enqueue(new)
                    tx.audit(media_id=media_id, resource_id=new.job_id)
            (found,) = await reading.get_asked(tx, [(job_id, principal)])
            return authorize(found, job_not_found(job_id))


async def retry_failed(database: Database) -> Batches:
    """Starts the jobs of standard renditions again that failed by no fault of the media."""
    while True:
        async with database.connection() as db:
            restarted = await queries.restart_failed(
                db, TEMPORARY, pause=PAUSE, oldest=OLDEST, limit=BATCH
            )
        yield restarted
        if restarted < BATCH:
            return
