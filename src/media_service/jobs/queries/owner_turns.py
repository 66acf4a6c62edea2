"""Whose job is claimed next, and who waits while others hold slots.

Turns are taken by **groups**: first by tenants, then by the owners in an organization. A tenant is
an organization, written as an `Owner` without type and id, or an owner outside of organizations. So
an organization gets as many turns as one such owner, however many of its users have jobs.

The owner here is whose turns a job takes: the caller who started it, or else the owner of its
media (`turn_type`, `turn_id`).
"""

from collections.abc import Collection, Sequence
from datetime import timedelta

from psycopg.sql import SQL, Composed

from media_service.access.owner import Owner
from media_service.db.transaction import Connection
from media_service.jobs.model import Claim, JobKind
from media_service.jobs.queries.claiming import CLAIM, first_claim, suitable

# Another worker may be claiming the only job of the first groups.
CANDIDATES = 4

QUEUED = SQL("state = 'QUEUED' and ready and owner_type is not null {suitable}")
# Parts of a walk, in its order: those that follow the row `w` come first.
TENANTS = SQL("""
    (
        select org_id, turn_type, turn_id, w.wrapped from jobs
        where {queued} and org_id = '' and w.org_id = ''
          and (turn_type, turn_id) > (w.turn_type, w.turn_id)
        order by turn_type, turn_id limit 1
    ) union all (
        select org_id, '', '', w.wrapped from jobs
        where {queued} and org_id > w.org_id order by org_id limit 1
    ) union all (
        select org_id, case org_id when '' then turn_type else '' end,
               case org_id when '' then turn_id else '' end, true
        from jobs where {queued} and not w.wrapped
        order by org_id, turn_type, turn_id limit 1
    )
""")
MEMBERS = SQL("""
    (
        select org_id, turn_type, turn_id, w.wrapped from jobs
        where {queued} and org_id = %(org)s
          and (turn_type, turn_id) > (w.turn_type, w.turn_id)
        order by turn_type, turn_id limit 1
    ) union all (
        select org_id, turn_type, turn_id, true from jobs
        where {queued} and org_id = %(org)s and not w.wrapped
        order by turn_type, turn_id limit 1
    )
""")
# The groups with jobs to claim, in the order of their turns after the given one, which is the last,
# with the number of slots that each holds in all workers. The walk goes from group to group in an
# index, so that its cost does not depend on the number of waiting jobs. `light` has its own index.
GROUPS = SQL("""
    recursive waiting as (
        select 0 as step, %(org)s::text as org_id, %(type)s::text as turn_type,
               %(id)s::text as turn_id, false as wrapped
        union all
        select w.step + 1, next.*
        from waiting w cross join lateral (
            select * from ({parts}) part limit 1
        ) next
        where not next.wrapped
           or (next.org_id, next.turn_type, next.turn_id) <= (%(org)s, %(type)s, %(id)s)
    ), groups as (
        select w.*, (
            select count(*) from jobs r
            where r.state = 'RUNNING' and r.holds_slot and r.owner_type is not null
              and r.org_id = w.org_id and (
                w.turn_type = '' or (r.turn_type, r.turn_id) = (w.turn_type, w.turn_id)
              )
        ) as running
        from waiting w where step > 0
    )
""")


def groups(parts: SQL, *, heavy: bool, skipped: Collection[JobKind]) -> Composed:
    queued = QUEUED.format(suitable=suitable(heavy=heavy, skipped=skipped))
    return GROUPS.format(parts=parts.format(queued=queued))


def parameters(group: Owner) -> dict[str, str]:
    return {"org": group.org_id, "type": group.type, "id": group.id}


def tenant_of(owner: Owner) -> Owner:
    return Owner("", "", owner.org_id) if owner.org_id else owner


def groups_of(owner: Owner) -> Sequence[Owner]:
    """The groups that an owner shares the slots of: its tenant, and in an organization itself."""
    return list(dict.fromkeys((tenant_of(owner), owner)))


def peers(group: Owner) -> SQL:
    """The walk that a group is part of."""
    return MEMBERS if group.org_id and group.type else TENANTS


async def next_tenants(
    db: Connection, after: Owner, *, heavy: bool, skipped: Collection[JobKind] = ()
) -> Sequence[Owner]:
    """The tenants whose turn it is, those first that hold the fewest slots. If there are several
    such tenants, they take turns after the given one. `heavy`, `skipped`: see
    `suitable`.

    The query stops at the first tenants without running jobs. Its cost therefore grows with the
    running jobs, not with the waiting ones or their owners.
    """
    return await next_groups(db, TENANTS, after, heavy=heavy, skipped=skipped)


async def next_members(
    db: Connection, after: Owner, *, heavy: bool, skipped: Collection[JobKind] = ()
) -> Sequence[Owner]:
    """As `next_tenants`, the owners in the organization of `after`."""
    return await next_groups(db, MEMBERS, after, heavy=heavy, skipped=skipped)


async def next_groups(
    db: Connection, parts: SQL, after: Owner, *, heavy: bool, skipped: Collection[JobKind]
) -> Sequence[Owner]:
    rows = await db.execute(
        SQL("""
        with {groups}
        select turn_type, turn_id, org_id from (
            select * from groups where running = 0
            union all
            (select * from groups where running > 0 order by running, step)
        ) next limit %(candidates)s
        """).format(groups=groups(parts, heavy=heavy, skipped=skipped)),
        {**parameters(after), "candidates": CANDIDATES},
    )
    return [Owner(row["turn_type"], row["turn_id"], row["org_id"]) async for row in rows]


async def claim_of_owner(
    db: Connection,
    lease: timedelta,
    owner: Owner,
    *,
    heavy: bool,
    skipped: Collection[JobKind] = (),
    holds_slot: bool = True,
) -> Claim | None:
    """Claims the owner's job with the highest priority; of several, the oldest. Returns None if
    there is none. `holds_slot`: whether it counts as one that the owner runs in a worker."""
    rows = await db.execute(
        SQL("""
        with chosen as (
            select job_id from jobs
            where {queued} and org_id = %(org)s and turn_type = %(type)s and turn_id = %(id)s
            order by priority desc, run_time, job_id
            limit 1 for update skip locked
        )
        {claim}
        """).format(
            queued=QUEUED.format(suitable=suitable(heavy=heavy, skipped=skipped)), claim=CLAIM
        ),
        {**parameters(owner), "lease": lease, "holds_slot": holds_slot},
    )
    return await first_claim(db, rows)


async def is_awaited(
    db: Connection,
    group: Owner,
    slots: int,
    *,
    heavy: bool,
    skipped: Collection[JobKind] = (),
) -> bool:
    """Whether a job waits of another group beside this one, or of the service itself, that holds
    fewer than `slots` slots in all workers. With `heavy`, heavy jobs count, too. Jobs that only
    remove bytes do not count, because they also run beside the slots, nor do those that this worker
    skips."""
    rows = await db.execute(
        SQL("""
        with {groups}
        select exists (
            select from (
                select kind from jobs where state = 'QUEUED' and ready and owner_type is null
                order by run_time, job_id limit 100
            ) first where kind not in ('UNLINK', 'DISCARD') {of_service}
        ) and %(slots)s > (
            select count(*) from jobs
            where state = 'RUNNING' and holds_slot and owner_type is null
        ) or exists (
            select from groups where running < %(slots)s
              and (org_id, turn_type, turn_id) <> (%(org)s, %(type)s, %(id)s)
        ) as awaited
        """).format(
            groups=groups(peers(group), heavy=heavy, skipped=skipped),
            of_service=suitable(skipped=skipped),
        ),
        {**parameters(group), "slots": slots},
    )
    row = await rows.fetchone()
    return bool(row and row["awaited"])


async def held_slots(db: Connection, group: Owner) -> list[str]:
    """Returns the jobs of a group that hold slots in all workers, the last started first."""
    rows = await db.execute(
        "select job_id::text as job_id from jobs where state = 'RUNNING' and holds_slot"
        " and owner_type is not null and org_id = %(org)s"
        " and (%(type)s = '' or (turn_type, turn_id) = (%(type)s, %(id)s))"
        " order by start_time desc, job_id",
        parameters(group),
    )
    return [row["job_id"] async for row in rows]
