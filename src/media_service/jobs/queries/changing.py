"""Changes of jobs by callers and by the service itself, whether a worker holds them or not."""

from dataclasses import dataclass
from datetime import timedelta

from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from media_service.access.owner import Owner
from media_service.db.notifications import JobChanged, JobRunnable, MediaChanged
from media_service.db.refusals import quota_exceeded
from media_service.db.transaction import Connection
from media_service.errors import Fault, Reason
from media_service.jobs.model import JobKind


async def withdraw(db: Connection, kind: JobKind, subject_id: str) -> None:
    """Removes the queued jobs of one kind on a subject, because their work is done."""
    await db.execute(
        "delete from jobs where subject_id = %s and kind = %s and state = 'QUEUED'",
        (subject_id, kind),
    )


async def withdraw_of_version(db: Connection, kind: JobKind, subject_id: str, version: int) -> None:
    """Removes the queued jobs of one kind on a version that is not current."""
    await db.execute(
        "delete from jobs where subject_id = %s and kind = %s and version = %s"
        " and state = 'QUEUED'",
        (subject_id, kind, version),
    )


async def hasten(db: Connection, kind: JobKind, subject_id: str) -> None:
    """Makes the delayed jobs of one kind on a subject claimable now."""
    rows = await db.execute(
        "update jobs set ready = true, run_time = now(), update_time = now()"
        " where subject_id = %s and kind = %s and state = 'QUEUED' and not ready"
        " returning heavy",
        (subject_id, kind),
    )
    async for row in rows:
        db.notify(JobRunnable(row["heavy"]))


async def cancel(db: Connection, job_id: str) -> None:
    """Cancels a job that has not ended. Its worker can no longer change it, or commit results."""
    rows = await db.execute(
        "update jobs set state = 'CANCELLED', lease_until = null, stage = '', update_time = now(),"
        " end_time = now() where job_id = %s and state in ('QUEUED', 'RUNNING')"
        " returning subject_id::text as media_id",
        (job_id,),
    )
    async for row in rows:
        db.notify(MediaChanged(row["media_id"]))
    db.notify(JobChanged(job_id))


async def stop_all(db: Connection, media_id: str, fault: Fault) -> None:
    """Fails the jobs on a media that have not ended. Their workers stop. Jobs of the service itself
    continue."""
    rows = await db.execute(
        "update jobs set state = 'FAILED', lease_until = null, stage = '', error_reason = %s,"
        " error_message = %s, error_metadata = %s, update_time = now(), end_time = now()"
        " where subject_id = %s"
        " and state in ('QUEUED', 'RUNNING') and owner_type is not null"
        " returning job_id::text as job_id",
        (fault.reason, fault.message, Jsonb(fault.metadata), media_id),
    )
    async for row in rows:
        db.notify(JobChanged(row["job_id"]))


async def stop_version(db: Connection, media_id: str, version: int, fault: Fault) -> None:
    """Fails the jobs on a version that is not current. Their workers stop."""
    rows = await db.execute(
        "update jobs set state = 'FAILED', lease_until = null, stage = '', error_reason = %s,"
        " error_message = %s, error_metadata = %s, update_time = now(), end_time = now()"
        " where subject_id = %s and version = %s and state in ('QUEUED', 'RUNNING')"
        " returning job_id::text as job_id",
        (fault.reason, fault.message, Jsonb(dict(fault.metadata)), media_id, version),
    )
    async for row in rows:
        db.notify(JobChanged(row["job_id"]))


@dataclass(frozen=True, slots=True)
class Stopped:
    """A job that was stopped, and what it rendered."""

    job_id: str
    rendition: str
    pipeline: str


async def stop_renders(db: Connection, media_id: str, fault: Fault) -> list[Stopped]:
    """Fails the jobs that have begun to render renditions of a media. Those that have not begun
    continue."""
    rows = await db.execute(
        "update jobs set state = 'FAILED', lease_until = null, stage = '', error_reason = %s,"
        " error_message = %s, error_metadata = %s, update_time = now(), end_time = now()"
        " where subject_id = %s and kind in ('PROCESS', 'FOREIGN') and parent_id is null"
        " and (state = 'RUNNING' or state = 'QUEUED' and attempt > 0)"
        " returning job_id::text as job_id, rendition, pipeline",
        (fault.reason, fault.message, Jsonb(dict(fault.metadata)), media_id),
    )
    stopped = [Stopped(row["job_id"], row["rendition"], row["pipeline"]) async for row in rows]
    for each in stopped:
        db.notify(JobChanged(each.job_id))
    return stopped


async def resume_all(db: Connection, media_id: str, reason: Reason) -> set[JobKind]:
    """Queues the jobs on a media again that failed for this reason. Returns their kinds."""
    rows = await db.execute(
        "select job_id::text as job_id, kind from jobs where subject_id = %s and state = 'FAILED'"
        " and error_reason = %s and parent_id is null and owner_type is not null for update",
        (media_id, reason),
    )
    found = await rows.fetchall()
    for row in found:
        await restart(db, row["job_id"])
    return {JobKind(row["kind"]) for row in found}


RESTART = SQL("""
    update jobs set state = 'QUEUED', ready = true, run_time = now(), attempt = 0, lost_leases = 0,
                    outages = 0, progress_percent = 0, error_reason = null, error_message = null,
                    error_metadata = null, update_time = now(), end_time = null
    where {which} = %s and state in ('FAILED', 'CANCELLED')
    returning heavy
""")


async def restart(db: Connection, job_id: str, charged: Owner | None = None) -> None:
    """Queues a FAILED or CANCELLED job again, and resets its attempts. `charged`: whose turns it
    takes from now on; None: as before."""
    if charged:
        await db.execute(
            "update jobs set charged_type = %s, charged_id = %s where job_id = %s",
            (charged.type, charged.id, job_id),
        )
    rows = await db.execute(RESTART.format(which=Identifier("job_id")), (job_id,))
    db.notify(JobChanged(job_id))
    async for row in rows:
        db.notify(JobRunnable(row["heavy"]))


async def check_quotas(db: Connection, job_id: str) -> None:
    """Raises FailedPrecondition (QUOTA_EXCEEDED) if an account of the job has nothing left of what
    the job needs."""
    rows = await db.execute(
        """
        select q.account, q.measure, q.hard_limit, q.used from jobs j
        cross join lateral exhausted_quotas(j.org_id, j.owner_type, j.owner_id, j.project_id) q
        where j.job_id = %s limit 1
        """,
        (job_id,),
    )
    if row := await rows.fetchone():
        raise quota_exceeded(
            row["account"], row["measure"], row["hard_limit"], row["used"], wanted=1
        )


async def forget_ended(db: Connection, limit: int, *, owned: timedelta, own: timedelta) -> int:
    """Removes old jobs: those with an owner that ended longer ago than `owned` and before this
    month, in which they are charged, and those of the service that ended longer ago than `own`.
    Returns their number."""
    done = await db.execute(
        """
        with owned as (
            select job_id from jobs where owner_type is not null
            and end_time < least(now() - %(owned)s, month_of(now()))
            order by end_time limit %(limit)s for update skip locked
        ), own as (
            select job_id from jobs where owner_type is null and end_time < now() - %(own)s
            order by end_time limit %(limit)s for update skip locked
        )
        delete from jobs where job_id in (select * from owned union all select * from own)
        """,
        {"owned": owned, "own": own, "limit": limit},
    )
    return done.rowcount
