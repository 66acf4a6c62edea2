"""Use cases of jobs: what is to be made of media, and what becomes of it."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from media_service.access.owner import Owner
from media_service.access.permission import Permission
from media_service.access.policy import authorize, creator, owned_by, scope
from media_service.access.principal import Principal
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.codecs.pipeline.text_form import digest
from media_service.db.batch import Batcher
from media_service.db.database import Database
from media_service.db.events import JobChanged
from media_service.db.new_job import NewJob
from media_service.db.transaction import Transaction
from media_service.db.watch import watch
from media_service.errors import FailedPrecondition, NotFound, Reason
from media_service.failpoints import failpoint
from media_service.jobs import queries
from media_service.jobs.model import Job, JobKind, JobState, Priority
from media_service.media import queries as catalogue
from media_service.media.model import STREAM, Media, Rendition
from media_service.media.reader import MediaReader
from media_service.media.service import load
from media_service.renditions.inputs import overlay_of, route_of
from media_service.renditions.rendition_store import check_rendition_limit

# How long jobs that ended can be looked at.
KEPT = timedelta(days=30)
# The service's own, which only operators look at. There are many.
OWN_KEPT = timedelta(days=1)
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Order:
    """A rendition that somebody wants. `rendition` empty: named after the pipeline."""

    media_id: str
    plan: Pipeline
    rendition: str
    priority: Priority
    request_id: str | None

    @property
    def name(self) -> str:
        if self.plan.makes_stream:
            return STREAM
        return self.rendition or f"p-{digest(self.plan.text).hex()[:16]}"


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, and what it made, as long as that is there."""

    job: Job
    media: Media | None = None
    rendition: Rendition | None = None


class JobService:
    """Of the jobs of callers; the service's own are nobody's to see."""

    def __init__(self, database: Database, reader: MediaReader) -> None:
        self._database = database
        self._reader = reader
        self._read = Batcher(self._read_many)

    async def order(self, principal: Principal, orders: Sequence[Order]) -> list[JobView]:
        """Accepts jobs, all or none. A known request id gives the job it stood for before.

        Raises NotFound (MEDIA_NOT_FOUND), FailedPrecondition (MEDIA_DELETED,
        MEDIA_QUARANTINED, OPERATION_NOT_APPLICABLE, RENDITION_LIMIT_EXCEEDED).
        """
        async with self._database.transaction() as tx:
            jobs = [await self._order(tx, principal, order) for order in orders]
            failpoint("job.order.before")
        failpoint("job.order.after")
        return [await self._view(job) for job in jobs]

    async def _order(self, tx: Transaction, principal: Principal, order: Order) -> Job:
        if order.request_id and (
            known := await queries.by_request(
                tx, creator(principal, Permission.MEDIA_WRITE), order.request_id
            )
        ):
            return known
        media = await load(tx, principal, Permission.MEDIA_WRITE, order.media_id)
        way = route_of(media, order.plan.text)
        check_rendition_limit(media, order.name)
        for overlay_id in order.plan.overlays:
            overlay_of(media, await catalogue.get(tx, overlay_id), overlay_id)
        new = NewJob(
            JobKind.PROCESS,
            media.media_id,
            media.owner,
            order.priority,
            request_id=order.request_id,
            pipeline=order.plan.text,
            rendition=order.name,
            done=media.made(order.name, order.plan.text) is not None,
            heavy=way.heavy,
            project_id=media.project_id,
            actor_id=principal.owner.id,
        )
        await tx.enqueue(new)
        found = await queries.lock(tx, new.job_id)
        if found is None and order.request_id:  # the same request came at the same time
            found = await queries.by_request(tx, media.owner, order.request_id)
        if found is None:
            raise RuntimeError("a job was accepted and is not there")
        return found

    async def get(self, principal: Principal, job_id: str) -> JobView:
        """Raises NotFound (JOB_NOT_FOUND)."""
        return await self._view(
            authorize(principal, Permission.JOBS_READ, await self._read(job_id), not_found(job_id))
        )

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
    ) -> list[JobView]:
        """The caller's jobs, newest first, older than `after` (create_time, job_id). `owner`: none
        but theirs."""
        where = [scope(principal, Permission.JOBS_READ, "j")]
        if owner is not None:
            where.append(owned_by(owner, "j"))
        async with self._database.connection() as db:
            jobs = await queries.page(
                db,
                where,
                media_id=media_id,
                state=state,
                kind=kind,
                project_id=project_id,
                after=after,
                limit=limit,
            )
            made = {job.media_id for job in jobs if job.state is JobState.SUCCEEDED}
            media = await catalogue.get_many(db, list(made)) if made else {}
        return [view(job, media.get(job.media_id)) for job in jobs]

    def watch(self, principal: Principal, job_id: str) -> AsyncGenerator[JobView, None]:
        """The job now, after every change, and every 15 seconds; ends with a final state."""
        read = partial(self.get, principal, job_id)
        return watch(self._database, JobChanged, job_id, read, lambda seen: seen.job.state.final)

    async def cancel(self, principal: Principal, job_id: str) -> JobView:
        """Ends a job, at once: whoever runs it can no longer bring it to another end, and is told
        to stop. Idempotent.

        Raises NotFound (JOB_NOT_FOUND), FailedPrecondition (JOB_NOT_CANCELLABLE).
        """
        async with self._database.transaction() as tx:
            job = await held(tx, principal, job_id)
            if job.state is JobState.CANCELLED:
                return JobView(job)
            if job.kind is not JobKind.PROCESS or job.state.final:
                raise not_cancellable(job)
            await queries.cancel(tx, job_id)
            await queries.cancel_parts(tx, job_id)
            job = await held(tx, principal, job_id)
        return JobView(job)

    async def retry(self, principal: Principal, job_id: str) -> JobView:
        """Queues a job again that FAILED or was CANCELLED.

        Raises NotFound (JOB_NOT_FOUND), FailedPrecondition (JOB_NOT_RETRYABLE).
        """
        async with self._database.transaction() as tx:
            job = await held(tx, principal, job_id)
            if job.state not in {JobState.FAILED, JobState.CANCELLED}:
                raise FailedPrecondition(
                    Reason.JOB_NOT_RETRYABLE,
                    f"Only what failed or was cancelled can be done again; this is {job.state}.",
                    job_id=job_id,
                    state=job.state,
                )
            await queries.restart(tx, job_id)
            job = await held(tx, principal, job_id)
        return JobView(job)

    async def _view(self, job: Job) -> JobView:
        if job.state is not JobState.SUCCEEDED or job.kind is not JobKind.PROCESS:
            return JobView(job)
        return view(job, await self._reader.find(job.media_id))

    async def _read_many(self, job_ids: Sequence[str]) -> list[Job | None]:
        async with self._database.connection() as db:
            found = await queries.get_many(db, job_ids)
        return [found.get(job_id) for job_id in job_ids]


def view(job: Job, media: Media | None) -> JobView:
    if media is None or job.state is not JobState.SUCCEEDED:
        return JobView(job)
    return JobView(job, media, media.made(job.rendition, job.pipeline))


async def held(tx: Transaction, principal: Principal, job_id: str) -> Job:
    """A job that the caller may change, locked. Raises NotFound (JOB_NOT_FOUND)."""
    job = await queries.lock(tx, job_id)
    return authorize(principal, Permission.JOBS_WRITE, job, not_found(job_id))


def not_found(job_id: str) -> NotFound:
    return NotFound(
        Reason.JOB_NOT_FOUND, "There is no such job, or it is not yours.", job_id=job_id
    )


def not_cancellable(job: Job) -> FailedPrecondition:
    why = (
        f"The job has ended, it is {job.state}."
        if job.state.final
        else "Every media is inspected; only PROCESS jobs can be cancelled."
    )
    return FailedPrecondition(
        Reason.JOB_NOT_CANCELLABLE, why, job_id=job.job_id, state=job.state, type=job.kind
    )


async def forget_ended(database: Database) -> int:
    """Removes jobs that ended long ago; returns how many."""
    total = 0
    while True:
        async with database.connection() as db:
            removed = await queries.forget_ended(db, BATCH, owned=KEPT, own=OWN_KEPT)
        total += removed
        if removed < BATCH:
            return total
