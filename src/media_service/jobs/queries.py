"""SQL of jobs. The table is authoritative. An event only signals when to query it.

Every change of a job that has an owner emits `JobChanged`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from media_service.access.owner import Owner
from media_service.access.policy import Condition
from media_service.db.events import JobChanged, JobRunnable
from media_service.db.transaction import Connection, Rows
from media_service.errors import Fault, Reason
from media_service.jobs.model import Claim, Job, JobKind, JobState, Priority, Subjob

SELECT = """
    select j.*, j.job_id::text as job_id, j.subject_id::text as subject_id
    from jobs j
"""
# Jobs that callers can see. Jobs of the service itself and subjobs are not visible.
VISIBLE = "j.owner_type is not null and j.parent_id is null"


def owner_of(row: Mapping[str, Any]) -> Owner | None:
    if row["owner_type"] is None:
        return None
    return Owner(row["owner_type"], row["owner_id"], row["org_id"])


def fault_of(row: Mapping[str, Any]) -> Fault:
    return Fault(row["error_reason"], row["error_message"], row["error_metadata"] or {})


def record(row: Mapping[str, Any]) -> Job:
    fault = None
    if row["error_reason"]:
        fault = fault_of(row)
    return Job(
        job_id=row["job_id"],
        kind=JobKind(row["kind"]),
        media_id=row["subject_id"],
        owner=Owner(row["owner_type"], row["owner_id"], row["org_id"]),
        actor_id=row["actor_id"],
        state=JobState(row["state"]),
        priority=Priority(row["priority"]),
        stage=row["stage"],
        progress_percent=row["progress_percent"],
        attempt=row["attempt"],
        fault=fault,
        pipeline=row["pipeline"],
        rendition=row["rendition"],
        project_id=row["project_id"],
        create_time=row["create_time"],
        start_time=row["start_time"],
        update_time=row["update_time"],
        end_time=row["end_time"],
    )


async def withdraw(db: Connection, kind: JobKind, subject_id: str) -> None:
    """Removes the queued jobs of one kind on a subject, because their work is done."""
    await db.execute(
        "delete from jobs where subject_id = %s and kind = %s and state = 'QUEUED'",
        (subject_id, kind),
    )


async def hasten(db: Connection, kind: JobKind, subject_id: str) -> None:
    """Makes the delayed jobs of one kind on a subject claimable now."""
    done = await db.execute(
        "update jobs set ready = true, run_time = now(), update_time = now()"
        " where subject_id = %s and kind = %s and state = 'QUEUED' and not ready",
        (subject_id, kind),
    )
    if done.rowcount:
        db.emit(JobRunnable())


# Claims

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
            db.emit(JobChanged(row["job_id"]))


CLAIM = SQL("""
    update jobs
    set state = 'RUNNING', attempt = attempt + 1, fence = fence + 1,
        lost_leases = lost_leases + (state = 'RUNNING')::integer,
        lease_until = now() + %(lease)s, holds_slot = %(holds_slot)s,
        start_time = now(), update_time = now(),
        stage = '', progress_percent = 0, error_reason = null, error_message = null
    where job_id in (select job_id from chosen)
    returning job_id::text as job_id, kind, subject_id::text as subject_id, attempt, fence, org_id,
              owner_type, owner_id, pipeline, rendition, parent_id::text as parent_id,
              subjob_number, heavy, lost_leases, anew
""")


async def claimed(db: Connection, rows: Rows) -> Claim | None:
    row = await rows.fetchone()
    return claim_from(db, row) if row else None


def claim_from(db: Connection, row: Mapping[str, Any]) -> Claim:
    claim = Claim(
        row["job_id"],
        JobKind(row["kind"]),
        row["subject_id"],
        row["attempt"],
        row["fence"],
        owner_of(row),
        row["pipeline"],
        row["rendition"],
        row["parent_id"],
        row["subjob_number"],
        row["heavy"],
        row["lost_leases"],
        row["anew"],
    )
    changed(db, claim)
    return claim


def changed(db: Connection, claim: Claim) -> None:
    """Wakes the watchers of a job. Nobody can watch one without an owner."""
    if claim.owner is not None:
        db.emit(JobChanged(claim.job_id, claim.fence))


async def claim_of_service(db: Connection, lease: timedelta) -> Claim | None:
    """Claims the job of the service itself that has been due the longest. Returns None if there is
    none."""
    rows = await db.execute(
        SQL(
            """
            with chosen as (
                select job_id from jobs where state = 'QUEUED' and ready and owner_type is null
                order by run_time, job_id limit 1 for update skip locked
            )
            {}
            """
        ).format(CLAIM),
        {"lease": lease, "holds_slot": True},
    )
    return await claimed(db, rows)


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


# The owners with jobs to claim, in the order of their turns, with the number of slots that each
# holds in all workers. It walks from owner to owner in an index, so that its cost does not depend
# on the number of waiting jobs. `light` has its own index.
OWNERS = SQL("""
    recursive waiting as (
        select 0 as step, %(org)s::text as org_id, %(type)s::text as owner_type,
               %(id)s::text as owner_id, false as wrapped
        union all
        select w.step + 1, next.*
        from waiting w cross join lateral (
            (
                select org_id, owner_type, owner_id, w.wrapped from jobs
                where state = 'QUEUED' and ready and owner_type is not null {light}
                  and (org_id, owner_type, owner_id) > (w.org_id, w.owner_type, w.owner_id)
                  and (not w.wrapped
                       or (org_id, owner_type, owner_id) <= (%(org)s, %(type)s, %(id)s))
                order by org_id, owner_type, owner_id limit 1
            ) union all (
                select org_id, owner_type, owner_id, true from jobs
                where state = 'QUEUED' and ready and owner_type is not null {light}
                  and not w.wrapped
                  and (org_id, owner_type, owner_id) <= (%(org)s, %(type)s, %(id)s)
                order by org_id, owner_type, owner_id limit 1
            )
            limit 1
        ) next
    ), owners as (
        select w.*, (
            select count(*) from jobs r
            where r.state = 'RUNNING' and r.holds_slot and r.owner_type is not null
              and r.org_id = w.org_id and r.owner_type = w.owner_type
              and r.owner_id = w.owner_id
        ) as running
        from waiting w where step > 0
    )
""")
LIGHT, ANY = SQL("and not heavy"), SQL("")


async def claim_of_owners(
    db: Connection, lease: timedelta, after: Owner, *, heavy: bool = True
) -> Claim | None:
    """Claims a job of the owner that holds the fewest slots. If there are several such owners,
    selects the next one `after` the given owner, round-robin. Of the owner's jobs, the one with the
    highest priority comes first, then the oldest. Returns None if there is none. `heavy` allows
    heavy jobs.

    The query stops at the first owner without running jobs. Its cost therefore grows with the
    running jobs, not with the waiting ones or their owners.
    """
    light = ANY if heavy else LIGHT
    rows = await db.execute(
        SQL("""
        with {owners}, chosen as (
            select job.job_id
            from (
                select * from owners where running = 0
                union all
                (select * from owners where running > 0 order by running, step)
            ) o cross join lateral (
                select job_id from jobs j
                where j.state = 'QUEUED' and j.ready and j.owner_type is not null {light}
                  and j.org_id = o.org_id and j.owner_type = o.owner_type
                  and j.owner_id = o.owner_id
                order by j.priority desc, j.run_time, j.job_id
                limit 1 for update skip locked
            ) job
            limit 1
        )
        {claim}
        """).format(owners=OWNERS.format(light=light), light=light, claim=CLAIM),
        {
            "lease": lease,
            "holds_slot": True,
            "org": after.org_id,
            "type": after.type,
            "id": after.id,
        },
    )
    return await claimed(db, rows)


async def is_awaited(db: Connection, owner: Owner, slots: int, *, heavy: bool) -> bool:
    """Whether a job waits of another owner, or of the service itself, that holds fewer than `slots`
    slots in all workers. With `heavy`, heavy jobs count, too. Jobs that only remove bytes do not
    count, because they also run beside the slots."""
    rows = await db.execute(
        SQL("""
        with {owners}
        select exists (
            select from (
                select kind from jobs where state = 'QUEUED' and ready and owner_type is null
                order by run_time, job_id limit 100
            ) first where kind not in ('UNLINK', 'DISCARD')
        ) and %(slots)s > (
            select count(*) from jobs
            where state = 'RUNNING' and holds_slot and owner_type is null
        ) or exists (
            select from owners where running < %(slots)s
              and (org_id, owner_type, owner_id) <> (%(org)s, %(type)s, %(id)s)
        ) as awaited
        """).format(owners=OWNERS.format(light=ANY if heavy else LIGHT)),
        {"slots": slots, "org": owner.org_id, "type": owner.type, "id": owner.id},
    )
    row = await rows.fetchone()
    return bool(row and row["awaited"])


async def held_slots(db: Connection, owner: Owner) -> list[str]:
    """Returns the jobs of an owner that hold slots in all workers, the last started first."""
    rows = await db.execute(
        "select job_id::text as job_id from jobs where state = 'RUNNING' and holds_slot"
        " and org_id = %s and owner_type = %s and owner_id = %s order by start_time desc, job_id",
        (owner.org_id, owner.type, owner.id),
    )
    return [row["job_id"] async for row in rows]


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
    return await claimed(db, rows)


async def seconds_until_due(db: Connection, *, heavy: bool = True) -> float | None:
    """Returns the seconds until the next job can be claimed, or None if no job is waiting. For
    `heavy`, see `claim_of_owners`."""
    rows = await db.execute(
        SQL("""
        select extract(epoch from min(due) - now())::float8 as seconds from (
            (select run_time as due from jobs
             where state = 'QUEUED' and ready and owner_type is not null {light} limit 1)
            union all
            (select run_time from jobs
             where state = 'QUEUED' and ready and owner_type is null limit 1)
            union all
            select min(run_time) from jobs where state = 'QUEUED' and not ready
            union all
            select min(lease_until) from jobs where state = 'RUNNING'
        ) as waiting
        """).format(light=ANY if heavy else LIGHT)
    )
    row = await rows.fetchone()
    return row["seconds"] if row else None


# Claimed jobs. If a query returns False, the worker has lost the job.


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
        changed(db, claim)
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
        changed(db, claim)
    return done.rowcount == 1


async def retry_later(db: Connection, claim: Claim, delay: timedelta, fault: Fault) -> bool:
    """Queues a job again, to run after `delay`."""
    done = await db.execute(
        "update jobs set state = 'QUEUED', ready = false, run_time = now() + %s,"
        " lease_until = null, stage = '', error_reason = %s, error_message = %s,"
        " error_metadata = %s, update_time = now()"
        " where job_id = %s and fence = %s and state = 'RUNNING'",
        (
            delay,
            fault.reason,
            fault.message,
            Jsonb(fault.metadata),
            claim.job_id,
            claim.fence,
        ),
    )
    if done.rowcount == 1:
        changed(db, claim)
    return done.rowcount == 1


async def put_back(db: Connection, claim: Claim) -> bool:
    """Undoes a claim: another worker can claim the job at once, and the attempt does not count."""
    done = await db.execute(
        "update jobs set state = 'QUEUED', ready = true, run_time = now(), lease_until = null,"
        " stage = '', progress_percent = 0, attempt = attempt - 1, update_time = now()"
        " where job_id = %s and fence = %s and state = 'RUNNING'",
        (claim.job_id, claim.fence),
    )
    if done.rowcount == 1:
        changed(db, claim)
        db.emit(JobRunnable())
    return done.rowcount == 1


# Subjobs


async def subjobs(db: Connection, parent_id: str) -> list[Subjob]:
    """The subjobs of a job, in order."""
    rows = await db.execute(
        "select subjob_number, state, progress_percent, error_reason, error_message,"
        " error_metadata from jobs"
        " where parent_id = %s order by subjob_number",
        (parent_id,),
    )
    return [
        Subjob(
            row["subjob_number"],
            JobState(row["state"]),
            row["progress_percent"],
            fault_of(row) if row["error_reason"] else None,
        )
        async for row in rows
    ]


async def cancel_subjobs(db: Connection, parent_id: str) -> None:
    """Cancels the subjobs of a job that have not ended."""
    rows = await db.execute(
        "update jobs set state = 'CANCELLED', lease_until = null, stage = '', update_time = now(),"
        " end_time = now() where parent_id = %s and state in ('QUEUED', 'RUNNING')"
        " returning job_id::text as job_id",
        (parent_id,),
    )
    async for row in rows:
        db.emit(JobChanged(row["job_id"]))


async def restart_subjobs(db: Connection, parent_id: str) -> None:
    """Queues the failed and cancelled subjobs of a job again."""
    await db.execute(
        "update jobs set state = 'QUEUED', ready = true, run_time = now(), attempt = 0,"
        " lost_leases = 0, progress_percent = 0, error_reason = null, error_message = null,"
        " update_time = now(), end_time = null"
        " where parent_id = %s and state in ('FAILED', 'CANCELLED')",
        (parent_id,),
    )
    db.emit(JobRunnable())


async def forget_subjobs(db: Connection, parent_id: str) -> None:
    await db.execute("delete from jobs where parent_id = %s", (parent_id,))


# Jobs as their owners see them


async def is_rendering(db: Connection, media_id: str, rendition: str) -> bool:
    """Whether a job that has not ended renders this rendition of a media."""
    rows = await db.execute(
        "select from jobs where subject_id = %s and rendition = %s and parent_id is null"
        " and state in ('QUEUED', 'RUNNING') limit 1",
        (media_id, rendition),
    )
    return rows.rowcount == 1


async def unfinished(db: Connection, kind: JobKind, subject_id: str) -> str | None:
    """Returns the job of this kind on a subject that has not ended, if there is one."""
    rows = await db.execute(
        "select job_id::text as job_id from jobs where subject_id = %s and kind = %s"
        " and state in ('QUEUED', 'RUNNING') order by create_time limit 1",
        (subject_id, kind),
    )
    row = await rows.fetchone()
    return row["job_id"] if row else None


async def get_many(db: Connection, job_ids: Sequence[str]) -> dict[str, Job]:
    """Returns the visible jobs among these, by id."""
    rows = await db.execute(
        SELECT + "where j.job_id = any(%s::uuid[]) and " + VISIBLE, (list(job_ids),)
    )
    return {row["job_id"]: record(row) async for row in rows}


async def lock(db: Connection, job_id: str) -> Job | None:
    """Returns a visible job, and locks it until the transaction ends."""
    rows = await db.execute(
        SELECT + "where j.job_id = %s and " + VISIBLE + " for update", (job_id,)
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def page(
    db: Connection,
    scope: Sequence[Condition],
    *,
    media_id: str | None,
    state: JobState | None,
    kind: JobKind | None,
    project_id: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Job]:
    """Jobs `j` in scope, newest first, older than `after` (create_time, job_id)."""
    where = [*(condition.sql for condition in scope), VISIBLE]
    params = [value for condition in scope for value in condition.params]
    filters = {"subject_id": media_id, "state": state, "kind": kind, "project_id": project_id}
    for column, value in filters.items():
        if value is not None:
            where.append(f"j.{column} = %s")
            params.append(value)
    if after is not None:
        where.append("(j.create_time, j.job_id) < (%s, %s::uuid)")
        params += after
    rows = await db.execute(
        f"{SELECT} where {' and '.join(where)}"
        " order by j.create_time desc, j.job_id desc limit %s".encode(),
        (*params, limit),
    )
    return [record(row) async for row in rows]


async def cancel(db: Connection, job_id: str) -> None:
    """Cancels a job that has not ended. Its worker can no longer change it, or commit results."""
    await db.execute(
        "update jobs set state = 'CANCELLED', lease_until = null, stage = '', update_time = now(),"
        " end_time = now() where job_id = %s and state in ('QUEUED', 'RUNNING')",
        (job_id,),
    )
    db.emit(JobChanged(job_id))


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
        db.emit(JobChanged(row["job_id"]))


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


async def restart(db: Connection, job_id: str) -> None:
    """Queues a FAILED or CANCELLED job again, and resets its attempts."""
    await db.execute(
        "update jobs set state = 'QUEUED', ready = true, run_time = now(), attempt = 0,"
        " lost_leases = 0, progress_percent = 0, error_reason = null, error_message = null,"
        " update_time = now(), end_time = null"
        " where job_id = %s and state in ('FAILED', 'CANCELLED')",
        (job_id,),
    )
    db.emit(JobChanged(job_id))
    db.emit(JobRunnable())


async def forget_ended(db: Connection, limit: int, *, owned: timedelta, own: timedelta) -> int:
    """Removes old jobs: those with an owner that ended longer ago than `owned`, and those of the
    service that ended longer ago than `own`. Returns their number."""
    done = await db.execute(
        """
        with owned as (
            select job_id from jobs where owner_type is not null and end_time < now() - %(owned)s
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
