"""Which owner's job is claimed next, and who waits while others hold slots."""

from datetime import timedelta

from psycopg.sql import SQL

from media_service.access.owner import Owner
from media_service.db.transaction import Connection
from media_service.jobs.model import Claim
from media_service.jobs.queries.claiming import ANY, CLAIM, LIGHT, first_claim

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
    return await first_claim(db, rows)


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
