"""Use cases of jobs: read, list, watch, cancel and retry."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from functools import partial

from media_service.access.owner import Owner
from media_service.access.policy import authorize, owned_by, scope
from media_service.access.principal import Principal
from media_service.db.batcher import Batcher
from media_service.db.database import Database
from media_service.db.notifications import JobChanged
from media_service.db.state_watch import watch
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, NotFound, Reason
from media_service.idempotency import queries as keys
from media_service.idempotency.model import KeyClaim, RequestKey
from media_service.ids import new_id
from media_service.jobs.model import Job, JobKind, JobState
from media_service.jobs.periodic import Batches
from media_service.jobs.queries import changing, reading, subjobs

# How long ended jobs are kept: jobs with an owner, and the more numerous jobs of the service.
KEPT = timedelta(days=30)
KEPT_OF_SERVICE = timedelta(days=1)
BATCH = 1000


class JobService:
    """Use cases of jobs that have an owner. Jobs of the service itself are not visible."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read = Batcher(self._read_many)

    async def get(self, principal: Principal, job_id: str) -> Job:
        """Raises NotFound (JOB_NOT_FOUND) and PermissionDenied (ROLE_REQUIRED)."""
        return authorize(await self._read((job_id, principal)), not_found(job_id))

    async def list_jobs(
        self,
        principal: Principal,
        *,
        media_id: str | None,
        state: JobState | None,
        kind: JobKind | None,
        owner: Owner | None,
        project_id: str | None,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Job]:
        """Returns the jobs that the caller may see, newest first, older than `after` (create_time,
        job_id). `owner` selects the jobs of one owner."""
        where = [owned_by(owner, "j")] if owner is not None else []
        async with self._database.connection() as db:
            return await reading.page(
                db,
                scope(principal),
                where,
                media_id=media_id,
                state=state,
                kind=kind,
                project_id=project_id,
                after=after,
                limit=limit,
            )

    def watch(self, principal: Principal, job_id: str) -> AsyncGenerator[Job, None]:
        """Yields the job now, after every change, and every 10 seconds, until its state is
        final."""
        read = partial(self.get, principal, job_id)
        return watch(self._database, JobChanged, job_id, read, lambda job: job.state.final)

    async def cancel(self, principal: Principal, job_id: str) -> Job:
        """Cancels a job immediately. A notification stops the worker that runs it. Until the worker
        stops, its writes are rejected. Idempotent.
        Raises NotFound (JOB_NOT_FOUND), FailedPrecondition (JOB_NOT_CANCELLABLE).
        """
        async with self._database.transaction() as tx:
            job = await load(tx, principal, job_id)
            if job.state is JobState.CANCELLED:
                return job
            if not job.kind.cancellable or job.state.final:
                raise not_cancellable(job)
            await changing.cancel(tx, job_id)
            await subjobs.cancel(tx, job_id)
            tx.audit(media_id=job.media_id, resource_id=job_id)
            return await load(tx, principal, job_id)

    async def retry(self, principal: Principal, job_id: str, key: RequestKey | None = None) -> Job:
        """Queues a FAILED or CANCELLED job again. A repeated call with the same `key` only returns
        the job.
        Raises NotFound (JOB_NOT_FOUND), FailedPrecondition (JOB_NOT_RETRYABLE, QUOTA_EXCEEDED),
        Aborted (IDEMPOTENCY_CONFLICT).
        """
        async with self._database.transaction() as tx:
            repeated = key is not None and await is_repeated(tx, key)
            job = await load(tx, principal, job_id)
            if repeated:
                return job
            if job.state not in {JobState.FAILED, JobState.CANCELLED}:
                raise not_retryable(job)
            if job.kind.renders:
                await changing.check_quotas(tx, job_id)
            await changing.restart(tx, job_id, principal.charged)
            tx.audit(media_id=job.media_id, resource_id=job_id)
            return await load(tx, principal, job_id)

    async def _read_many(self, asked: Sequence[tuple[str, Principal]]) -> list[Job | None]:
        async with self._database.connection() as db:
            return await reading.get_asked(db, asked)


async def is_repeated(tx: Transaction, key: RequestKey) -> bool:
    """Claims the key of a retry. Returns True if an earlier retry already claimed it. A retry has
    no id, so the key is claimed for a new id."""
    retry_id = new_id()
    claimed_id, _ = await keys.claim(tx, KeyClaim(key, retry_id))
    return claimed_id != retry_id


async def load(tx: Transaction, principal: Principal, job_id: str) -> Job:
    """Returns a job that the caller may change, and locks it. Raises NotFound (JOB_NOT_FOUND) and
    PermissionDenied (ROLE_REQUIRED)."""
    job = await reading.lock(tx, job_id, principal)
    return authorize(job, not_found(job_id))


def not_found(job_id: str) -> NotFound:
    return NotFound(
        Reason.JOB_NOT_FOUND,
        "The job does not exist, or the caller may not see it.",
        job_id=job_id,
    )


def not_cancellable(job: Job) -> FailedPrecondition:
    why = (
        f"The job has already ended with the state {job.state}."
        if job.state.final
        else f"Jobs of the type {job.kind} cannot be cancelled. Only PROCESS and BATCH jobs can."
    )
    return FailedPrecondition(
        Reason.JOB_NOT_CANCELLABLE, why, job_id=job.job_id, state=job.state, type=job.kind
    )


def not_retryable(job: Job) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.JOB_NOT_RETRYABLE,
        f"Only FAILED and CANCELLED jobs can be retried. The state of this job is {job.state}.",
        job_id=job.job_id,
        state=job.state,
    )


async def forget_ended(database: Database) -> Batches:
    """Removes jobs that ended long ago."""
    while True:
        async with database.connection() as db:
            removed = await changing.forget_ended(db, BATCH, owned=KEPT, own=KEPT_OF_SERVICE)
        yield removed
        if removed < BATCH:
            return
