"""SQL of jobs. The table is the truth; a wake-up only says when to look."""

from datetime import timedelta

from media_service.db.database import Connection
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.types import Fault, new_id


async def enqueue(
    db: Connection, kind: JobKind, *subject_ids: str, delay: timedelta = timedelta()
) -> list[str]:
    """Accepts a job for each subject, to be run after `delay`; returns their ids."""
    job_ids = [new_id() for _ in subject_ids]
    await db.execute(
        "insert into jobs (job_id, kind, subject_id, state, run_time)"
        " select job_id, %s, subject_id, 'QUEUED', now() + %s"
        " from unnest(%s::uuid[], %s::uuid[]) as job (job_id, subject_id)",
        (kind, delay, job_ids, list(subject_ids)),
    )
    return job_ids


async def claim(db: Connection, lease: timedelta) -> Claim | None:
    """Takes the job that is due longest, or whose worker died; None if there is none."""
    rows = await db.execute(
        """
        update jobs
        set state = 'RUNNING', attempt = attempt + 1, token = token + 1,
            lease_until = now() + %s, update_time = now()
        where job_id = (
            select job_id from jobs
            where (state = 'QUEUED' and run_time <= now())
               or (state = 'RUNNING' and lease_until < now())
            order by run_time
            limit 1
            for update skip locked
        )
        returning job_id::text, kind, subject_id::text, attempt, token
        """,
        (lease,),
    )
    row = await rows.fetchone()
    return Claim(**{**row, "kind": JobKind(row["kind"])}) if row else None


async def renew(db: Connection, claim: Claim, lease: timedelta) -> bool:
    """Prolongs the lease; False if the job is no longer this worker's."""
    done = await db.execute(
        "update jobs set lease_until = now() + %s, update_time = now()"
        " where job_id = %s and token = %s and state = 'RUNNING'",
        (lease, claim.job_id, claim.token),
    )
    return done.rowcount == 1


async def finish(db: Connection, claim: Claim, state: JobState, fault: Fault | None = None) -> bool:
    """Ends a job; False if it is no longer this worker's, and then nothing may be committed."""
    done = await db.execute(
        "update jobs set state = %s, error_reason = %s, error_message = %s, lease_until = null,"
        " update_time = now() where job_id = %s and token = %s and state = 'RUNNING'",
        (
            state,
            fault.reason if fault else None,
            fault.message if fault else None,
            claim.job_id,
            claim.token,
        ),
    )
    return done.rowcount == 1


async def retry_later(db: Connection, claim: Claim, delay: timedelta, fault: Fault) -> bool:
    """Puts a job back, to be run after `delay`; False if it is no longer this worker's."""
    done = await db.execute(
        "update jobs set state = 'QUEUED', run_time = now() + %s, lease_until = null,"
        " error_reason = %s, error_message = %s, update_time = now()"
        " where job_id = %s and token = %s and state = 'RUNNING'",
        (delay, fault.reason, fault.message, claim.job_id, claim.token),
    )
    return done.rowcount == 1


async def withdraw(db: Connection, kind: JobKind, subject_id: str) -> None:
    """Ends the jobs of a subject that have nothing left to do."""
    await db.execute(
        "update jobs set state = 'SUCCEEDED', lease_until = null, update_time = now()"
        " where subject_id = %s and kind = %s and state = 'QUEUED'",
        (subject_id, kind),
    )


async def seconds_until_due(db: Connection) -> float | None:
    """How long until the next job can be claimed; None if none waits."""
    rows = await db.execute(
        "select extract(epoch from min(due) - now())::float8 as seconds from ("
        " select min(run_time) as due from jobs where state = 'QUEUED'"
        " union all select min(lease_until) from jobs where state = 'RUNNING') as waiting"
    )
    row = await rows.fetchone()
    return row["seconds"] if row else None


async def put_back(db: Connection, claim: Claim) -> bool:
    """Undoes a claim, so that the job runs at once somewhere else and the attempt does not count;
    False if it is no longer this worker's."""
    done = await db.execute(
        "update jobs set state = 'QUEUED', run_time = now(), lease_until = null,"
        " attempt = attempt - 1, update_time = now()"
        " where job_id = %s and token = %s and state = 'RUNNING'",
        (claim.job_id, claim.token),
    )
    return done.rowcount == 1
