"""Claims jobs: makes those claimable that are due, and gives one to a worker."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from psycopg.sql import SQL, Composed, Literal

from media_service.db.notifications import JobChanged
from media_service.db.transaction import Connection, Rows
from media_service.jobs.model import Claim, JobKind
from media_service.jobs.queries.claimed_jobs import emit_changed
from media_service.jobs.queries.records import CLAIM_COLUMNS, claim_record

# How long after the end of its lease a job can be claimed again. Most workers that die are stopped
# or run out of memory by no fault of the job: the first time, there is no delay. A job that kills
# its workers waits longer each time: 5 s, 20 s, 80 s, 320 s, 10 minutes.
LOST_DELAY = SQL("""
    make_interval(secs => case lost_leases when 0 then 0
                          else least(600, 5 * 4 ^ (least(lost_leases, 9) - 1)) end)
""")


async def release_due(db: Connection) -> None:
    """Makes jobs claimable if they are due. A job whose lease has expired is due after a delay."""
    rows = await db.execute(
        SQL("""
        with delayed as (
            select job_id, run_time, 0 as lost from jobs
            where state = 'QUEUED' and not ready and run_time <= now()
            order by run_time limit 1000 for update skip locked
        ), abandoned as (
            select job_id, greatest(run_time, lease_until + {delay}) as run_time, 1 as lost
            from jobs where state = 'RUNNING' and lease_until < now()
            order by lease_until limit 1000 for update skip locked
        )
        update jobs j
        set state = 'QUEUED', ready = due.run_time <= now(), lease_until = null, stage = '',
            run_time = case when due.run_time <= now() then j.run_time else due.run_time end,
            lost_leases = lost_leases + due.lost, update_time = now()
        from (select * from delayed union all select * from abandoned) due
        where due.job_id = j.job_id
        returning j.job_id::text as job_id, j.owner_type is not null as owned
        """).format(delay=LOST_DELAY)
    )
    async for row in rows:
        if row["owned"]:
            db.notify(JobChanged(row["job_id"]))


CLAIM = SQL("""
    update jobs
    set state = 'RUNNING', attempt = attempt + 1, fence = fence + 1,
        lost_leases = lost_leases + (state = 'RUNNING')::integer,
        lease_until = now() + %(lease)s, holds_slot = %(holds_slot)s,
        start_time = now(), update_time = now(),
        stage = '', progress_percent = 0, error_reason = null, error_message = null
    where job_id in (select job_id from chosen)
    returning {}
""").format(CLAIM_COLUMNS)


def suitable(*, heavy: bool = True, skipped: Collection[JobKind] = ()) -> Composed:
    """The SQL condition of jobs that a worker may claim. `heavy` allows heavy jobs. `skipped`: the
    kinds that other workers run. The indexes do not have the kind, so a worker that skips some
    reads over their jobs."""
    kinds = SQL("and kind <> all({})").format(Literal([*skipped])) if skipped else SQL("")
    return SQL("{} {}").format(SQL("") if heavy else SQL("and not heavy"), kinds)


async def first_claim(db: Connection, rows: Rows) -> Claim | None:
    row = await rows.fetchone()
    return claim_from(db, row) if row else None


def claim_from(db: Connection, row: Mapping[str, Any]) -> Claim:
    claim = claim_record(row)
    emit_changed(db, claim)
    return claim


async def claim_of_service(
    db: Connection, lease: timedelta, *, skipped: Collection[JobKind] = ()
) -> Claim | None:
    """Claims the job of the service itself that has been due the longest. Returns None if there is
    none."""
    rows = await db.execute(
        SQL(
            """
            with chosen as (
                select job_id from jobs
                where state = 'QUEUED' and ready and owner_type is null {suitable}
                order by run_time, job_id limit 1 for update skip locked
            )
            {claim}
            """
        ).format(suitable=suitable(skipped=skipped), claim=CLAIM),
        {"lease": lease, "holds_slot": True},
    )
    return await first_claim(db, rows)


async def claim_of_kind(db: Connection, kind: JobKind, limit: int, lease: timedelta) -> list[Claim]:
    """Claims up to `limit` jobs of the service itself, of one kind, for no slot."""
    rows = await db.execute(
        SQL(
            """
            with chosen as (
                select job_id from jobs
                where state = 'QUEUED' and ready and owner_type is null and kind = %(kind)s
                order by run_time, job_id limit %(limit)s for update skip locked
            )
            {}
            """
        ).format(CLAIM),
        {"kind": kind, "limit": limit, "lease": lease, "holds_slot": False},
    )
    return [claim_from(db, row) async for row in rows]


async def claim_subjob(db: Connection, parent_id: str, lease: timedelta) -> Claim | None:
    """Claims the first subjob that is due, as in `release_due`. Returns None if there is none. It
    runs within the slot of its parent. It does not depend on `release_due`, because no other worker
    may be running to call it."""
    rows = await db.execute(
        SQL(
            """
            with chosen as (
                select job_id from jobs
                where parent_id = %(parent_id)s
                  and (state = 'QUEUED' and run_time <= now()
                       or state = 'RUNNING' and lease_until + {delay} < now())
                order by subjob_number limit 1 for update skip locked
            )
            {claim}
            """
        ).format(delay=LOST_DELAY, claim=CLAIM),
        {"lease": lease, "holds_slot": False, "parent_id": parent_id},
    )
    return await first_claim(db, rows)


async def seconds_until_due(
    db: Connection, *, heavy: bool = True, skipped: Collection[JobKind] = ()
) -> float | None:
    """Returns the seconds until the next job can be claimed, or None if no job is waiting. For
    `heavy` and `skipped`, see `suitable`."""
    rows = await db.execute(
        SQL("""
        select extract(epoch from min(due) - now())::float8 as seconds from (
            (select run_time as due from jobs
             where state = 'QUEUED' and ready and owner_type is not null {owned} limit 1)
            union all
            (select run_time from jobs
             where state = 'QUEUED' and ready and owner_type is null {of_service} limit 1)
            union all
            select min(run_time) from jobs where state = 'QUEUED' and not ready
            union all
            select min(lease_until) from jobs where state = 'RUNNING'
        ) as waiting
        """).format(
            owned=suitable(heavy=heavy, skipped=skipped), of_service=suitable(skipped=skipped)
        )
    )
    row = await rows.fetchone()
    return row["seconds"] if row else None
