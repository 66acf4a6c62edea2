"""Changes of jobs by the workers that hold them. If one returns False, the worker has lost the
job."""

from datetime import timedelta

from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from media_service.db.notifications import JobChanged, JobRunnable, MediaChanged
from media_service.db.transaction import Connection
from media_service.errors import Fault
from media_service.jobs.model import Claim, JobState
from media_service.jobs.queries.records import CLAIM_COLUMNS, claim_record


def emit_changed(db: Connection, claim: Claim) -> None:
    """Wakes the watchers of a job. Nobody can watch one without an owner."""
    if claim.owner is not None:
        db.notify(JobChanged(claim.job_id, claim.fence))


async def renew(db: Connection, claim: Claim, lease: timedelta) -> bool:
    """Extends the lease."""
    done = await db.execute(
        "update jobs set lease_until = now() + %s"
        " where job_id = %s and fence = %s and state = 'RUNNING'",
        (lease, claim.job_id, claim.fence),
    )
    return done.rowcount == 1


async def hold(db: Connection, claim: Claim) -> bool:
    """Locks the job, so that the worker keeps it until the transaction ends."""
    rows = await db.execute(
        "select from jobs where job_id = %s and fence = %s and state = 'RUNNING' for update",
        (claim.job_id, claim.fence),
    )
    return rows.rowcount == 1


async def held(db: Connection, job_id: str, fence: int) -> Claim | None:
    """The claim with this fence, if it is still valid. Its lease may have ended."""
    rows = await db.execute(
        SQL("select {} from jobs where job_id = %s and fence = %s and state = 'RUNNING'").format(
            CLAIM_COLUMNS
        ),
        (job_id, fence),
    )
    row = await rows.fetchone()
    return claim_record(row) if row else None


async def become_heavy(db: Connection, claim: Claim) -> bool:
    """Makes a light job heavy, because it takes long. From then on, it is claimed as such."""
    done = await db.execute(
        "update jobs set heavy = true where job_id = %s and fence = %s and state = 'RUNNING'",
        (claim.job_id, claim.fence),
    )
    return done.rowcount == 1


async def report(db: Connection, claim: Claim, stage: str, percent: int) -> bool:
    """Records the progress of a job."""
    done = await db.execute(
        "update jobs set stage = %s, progress_percent = greatest(progress_percent, %s),"
        " update_time = now() where job_id = %s and fence = %s and state = 'RUNNING'",
        (stage, percent, claim.job_id, claim.fence),
    )
    if done.rowcount == 1:
        emit_changed(db, claim)
    return done.rowcount == 1


async def finish(db: Connection, claim: Claim, state: JobState, fault: Fault | None = None) -> bool:
    """Ends a job. If this returns False, the transaction must be rolled back."""
    done = await db.execute(
        """
        update jobs
        set state = %(state)s, error_reason = %(reason)s, error_message = %(message)s,
            error_metadata = %(metadata)s, lease_until = null, stage = '',
            update_time = now(), end_time = now(),
            progress_percent = case %(state)s when 'SUCCEEDED' then 100 else progress_percent end
        where job_id = %(job_id)s and fence = %(fence)s and state = 'RUNNING'
        """,
        {
            "state": state,
            "reason": fault.reason if fault else None,
            "message": fault.message if fault else None,
            "metadata": Jsonb(fault.metadata) if fault else None,
            "job_id": claim.job_id,
            "fence": claim.fence,
        },
    )
    if done.rowcount == 1:
        emit_changed(db, claim)
        if claim.owner is not None:
            db.notify(MediaChanged(claim.subject_id))
    return done.rowcount == 1


async def retry_later(
    db: Connection, claim: Claim, delay: timedelta, fault: Fault, *, outage: bool = False
) -> bool:
    """Queues a job again, to run after `delay`. `outage`: the attempt failed because of one."""
    done = await db.execute(
        "update jobs set state = 'QUEUED', ready = false, run_time = now() + %s,"
        " lease_until = null, stage = '', error_reason = %s, error_message = %s,"
        " error_metadata = %s, outages = outages + %s, update_time = now()"
        " where job_id = %s and fence = %s and state = 'RUNNING'",
        (
            delay,
            fault.reason,
            fault.message,
            Jsonb(fault.metadata),
            int(outage),
            claim.job_id,
            claim.fence,
        ),
    )
    if done.rowcount == 1:
        emit_changed(db, claim)
    return done.rowcount == 1


async def put_back(db: Connection, claim: Claim, *, wake: bool = True) -> bool:
    """Undoes a claim: another worker can claim the job at once, and the attempt does not count.
    `wake`: and is told so."""
    done = await db.execute(
        "update jobs set state = 'QUEUED', ready = true, run_time = now(), lease_until = null,"
        " stage = '', progress_percent = 0, attempt = attempt - 1, update_time = now()"
        " where job_id = %s and fence = %s and state = 'RUNNING'",
        (claim.job_id, claim.fence),
    )
    if done.rowcount == 1:
        emit_changed(db, claim)
        if wake:
            db.notify(JobRunnable(claim.heavy))
    return done.rowcount == 1
