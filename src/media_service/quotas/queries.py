"""SQL of quotas. Triggers charge what is stored to the ledger."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

from media_service.db.refusals import quota_exceeded
from media_service.db.transaction import Connection, Transaction
from media_service.errors import MediaError
from media_service.quotas.model import (
    COUNTED,
    Amount,
    Charged,
    Comparison,
    Entry,
    Limits,
    Mark,
    Measure,
    Stored,
    Usage,
)
from media_service.sharing.resources import Resource, parse_resource

# The media and uploads `t` that an account pays for, as `accounts_of` says.
OF_ACCOUNT = {
    "organization": "t.org_id <> '' and t.org_id = %(id)s",
    "project": "t.project_id <> '' and t.project_id = %(id)s",
    "owner": "(t.org_id, t.owner_type, t.owner_id) = (%(org_id)s, %(type)s, %(owner_id)s)"
    " and t.project_id = ''",
}
PROJECTS_OF_OWNER = """
    t.org_id = '' and t.project_id <> '' and t.project_id in (
        select p.project_id from projects p
        where (p.org_id, p.owner_type, p.owner_id) = ('', %(type)s, %(owner_id)s)
    )
"""
# Of more projects, `usage` names those with the most bytes.
MAX_PROJECTS = 1000
RESERVED = "reserved_bytes(t.state, t.size_bytes, t.max_size_bytes, t.committed_size)"


async def lock(db: Transaction, charged: Sequence[Charged]) -> bool:
    """Locks the quotas of these media or uploads, before several statements charge them. Otherwise,
    two transactions could wait for each other. Returns False if they have none."""
    found = await db.execute("select lock_quotas(%s::json) as any", (to_json(charged),))
    row = await found.fetchone()
    return row is not None and bool(row["any"])


async def charge_media(db: Connection, media_ids: Sequence[str]) -> None:
    """Charges media that no upload has created. Raises FailedPrecondition (QUOTA_EXCEEDED)."""
    # As in the triggers, the lock makes a new quota wait for what was not charged to it.
    await db.execute("lock table quotas in row exclusive mode")
    await db.execute(
        """
        select charge(array_agg(row(
            org_id, owner_type, owner_id, project_id, 0, size_bytes + other_bytes, 0, 1, size_bytes
        )::quota_change))
        from media where media_id = any(%s::uuid[]) having exists (select from quotas)
        """,
        (list(media_ids),),
    )


def to_json(charged: Sequence[Charged]) -> str:
    return json.dumps(
        [
            {
                "org_id": one.owner.org_id,
                "owner_type": one.owner.type,
                "owner_id": one.owner.id,
                "project_id": one.project_id,
                "position": position,
            }
            for position, one in enumerate(charged)
        ]
    )


async def refused(
    db: Transaction, wanted: Sequence[tuple[Charged, int]]
) -> list[MediaError | None]:
    """Admits media of these sizes one after the other, as far as they fit, and locks their quotas.
    Returns the errors of those that do not fit."""
    charged = [one for one, _ in wanted]
    await lock(db, charged)
    rows = await db.execute(
        """
        select c.position, q.account, q.measure, q.hard_limit, q.reserved + q.used as total
        from json_to_recordset(%s::json) as c (
            org_id text, owner_type text, owner_id text, project_id text, position int
        )
        cross join lateral accounts_of(c.org_id, c.owner_type, c.owner_id, c.project_id) a
        join quotas q on q.account = a.account
        where q.hard_limit is not null and q.measure in ('BYTES', 'MEDIA', 'FILE_BYTES')
        """,
        (to_json(charged),),
    )
    limits: dict[int, dict[tuple[str, str], int]] = {}
    totals: dict[tuple[str, str], int] = {}
    async for row in rows:
        key = (row["account"], row["measure"])
        limits.setdefault(row["position"], {})[key] = row["hard_limit"]
        totals[key] = row["total"]
    return [
        admit(limits.get(position, {}), totals, size) for position, (_, size) in enumerate(wanted)
    ]


def admit(
    limits: Mapping[tuple[str, str], int], totals: dict[tuple[str, str], int], size: int
) -> MediaError | None:
    """Adds a media to the totals, unless it exceeds a limit."""
    more = {key: 1 if key[1] == Measure.MEDIA else size for key in limits}
    for key, limit in limits.items():
        account, measure = key
        if totals[key] + more[key] > limit:
            return quota_exceeded(account, measure, limit, totals[key], more[key])
    for key in limits:
        if key[1] != Measure.FILE_BYTES:
            totals[key] += more[key]
    return None


async def exhausted(
    db: Connection,
    charged: Sequence[Charged],
    measures: Collection[Measure] = (Measure.RENDITION_BYTES, Measure.PROCESSING_SECONDS),
) -> list[MediaError | None]:
    """The errors for processing media whose accounts have nothing left of one of the measures."""
    rows = await db.execute(
        """
        select c.position, q.account, q.measure, q.hard_limit, q.used
        from json_to_recordset(%s::json) as c (
            org_id text, owner_type text, owner_id text, project_id text, position int
        )
        cross join lateral exhausted_quotas(c.org_id, c.owner_type, c.owner_id, c.project_id) q
        where q.measure = any(%s)
        """,
        (to_json(charged), list(measures)),
    )
    errors: list[MediaError | None] = [None] * len(charged)
    async for row in rows:
        errors[row["position"]] = quota_exceeded(
            row["account"], row["measure"], row["hard_limit"], row["used"], wanted=1
        )
    return errors


async def full_caches(db: Connection, media_id: str) -> Mapping[Resource, int]:
    """The accounts of a media whose caches have more than their limit, with the limit."""
    rows = await db.execute(
        """
        select q.account, q.hard_limit
        from media m
        cross join lateral accounts_of(m.org_id, m.owner_type, m.owner_id, m.project_id) a
        join quotas q on q.account = a.account
        where m.media_id = %s and q.measure = 'CACHE_BYTES' and q.used > q.hard_limit
        """,
        (media_id,),
    )
    return {parse_resource(row["account"]): row["hard_limit"] async for row in rows}


async def begin(db: Transaction, account: Resource) -> None:
    """Adds the measures that the ledger of an account lacks, which count all that is charged after
    the commit. Waits for the transactions that have charged nothing because there were no such
    rows; `compare` finds what they have added."""
    await db.execute("lock table quotas in share row exclusive mode")
    await db.execute(
        """
        insert into quotas (account, measure, period_start)
        select %s, measure, case measure when 'PROCESSING_SECONDS' then month_of(now()) end
        from unnest(%s::text[]) measure on conflict do nothing
        """,
        (str(account), [*Measure]),
    )


async def lock_account(db: Transaction, account: Resource) -> Mapping[Measure, Entry]:
    """Returns the entries of an account, and makes all that is charged to it wait until the
    transaction ends."""
    await db.execute("lock table quotas in row exclusive mode")
    return await entries(db, account, "order by measure for update")


async def mark(db: Connection, account: Resource) -> Mark:
    rows = await db.execute(
        "select max(update_time) as correct_time, month_of(now()) as month from quotas"
        " where account = %s",
        (str(account),),
    )
    row = await rows.fetchone()
    assert row  # noqa: S101 - an aggregate
    return Mark(row["correct_time"], row["month"])


async def entries(db: Connection, account: Resource, how: str = "") -> Mapping[Measure, Entry]:
    """Leaves out the measures that only a newer version knows, whose servers may already run."""
    rows = await db.execute(
        f"""
        select measure, hard_limit, soft_limit, reserved, used_now(used, period_start) as used,
               case when period_start <> month_of(now()) then null else soft_exceed_time end
                   as soft_exceed_time
        from quotas where account = %s and measure = any(%s) {how}
        """.encode(),
        (str(account), [*Measure]),
    )
    return {Measure(row["measure"]): entry_record(row) async for row in rows}


def entry_record(row: Mapping[str, Any]) -> Entry:
    limits = Limits(row["hard_limit"], row["soft_limit"])
    return Entry(limits, Amount(row["reserved"], row["used"]), row["soft_exceed_time"])


async def correct(db: Connection, account: Resource, measure: Measure, amount: Amount) -> None:
    await db.execute(
        """
        update quotas
        set reserved = %(reserved)s, used = %(used)s, update_time = now(),
            period_start = case measure when 'PROCESSING_SECONDS' then month_of(now()) end
        where account = %(account)s and measure = %(measure)s
        """,
        {
            "account": str(account),
            "measure": measure,
            "reserved": amount.reserved,
            "used": amount.used,
        },
    )
    await judge(db, account, measure)


async def limit(db: Connection, account: Resource, measure: Measure, limits: Limits) -> None:
    await db.execute(
        "update quotas set hard_limit = %s, soft_limit = %s where account = %s and measure = %s",
        (limits.hard, limits.soft, str(account), measure),
    )
    await judge(db, account, measure)


async def judge(db: Connection, account: Resource, measure: Measure) -> None:
    """Compares an entry with its soft limit."""
    await db.execute(
        """
        update quotas
        set soft_exceed_time = case
            when reserved + used_now(used, period_start) > soft_limit
            then coalesce(case when period_start <> month_of(now()) then null
                               else soft_exceed_time end, now())
        end
        where account = %s and measure = %s
        """,
        (str(account), measure),
    )


async def to_log(db: Connection, limit: int) -> list[tuple[str, Measure, Entry]]:
    """Accounts that have gone beyond a soft limit since this was called last, by any process."""
    rows = await db.execute(
        """
        update quotas set soft_log_time = soft_exceed_time where (account, measure) in (
            select account, measure from quotas
            where soft_exceed_time is distinct from soft_log_time and measure = any(%s)
            limit %s for update skip locked
        )
        returning account, measure, hard_limit, soft_limit, reserved,
                  used_now(used, period_start) as used, soft_exceed_time
        """,
        ([*Measure], limit),
    )
    return [(row["account"], Measure(row["measure"]), entry_record(row)) async for row in rows]


async def due(db: Transaction, age: timedelta) -> str | None:
    """Returns the account that was counted the longest time ago, if that is longer than `age`, and
    notes that it is counted now. Skips accounts that are locked."""
    rows = await db.execute(
        """
        update quotas set count_time = now() where (account, measure) = (
            select account, measure from quotas
            where measure = 'BYTES' and count_time < now() - %s
            order by count_time limit 1 for update skip locked
        )
        returning account
        """,
        (age,),
    )
    row = await rows.fetchone()
    return row["account"] if row else None


async def remove_unlimited(db: Connection, account: Resource) -> bool:
    """Removes the entries of an account that has no limit, and returns whether there were any."""
    done = await db.execute(
        "delete from quotas where account = %(account)s and not exists (select from quotas"
        " where account = %(account)s and (hard_limit is not null or soft_limit is not null))",
        {"account": str(account)},
    )
    return done.rowcount > 0


async def remove(db: Connection, account: Resource) -> None:
    await db.execute("delete from quotas where account = %s", (str(account),))


def of_account(account: Resource) -> tuple[list[str], dict[str, Any]]:
    """The conditions for the media and uploads `t` that an account pays for, which exclude each
    other, and their parameters."""
    if account.kind != "owner":
        return [OF_ACCOUNT[account.kind]], {"id": account.id}
    owner = account.owner
    params = {"org_id": owner.org_id, "type": owner.type, "owner_id": owner.id}
    conditions = [OF_ACCOUNT["owner"]]
    if not owner.org_id:
        conditions.append(PROJECTS_OF_OWNER)
    return conditions, params


def paid_media(account: Resource, columns: str) -> tuple[str, dict[str, Any]]:
    """A query for columns of the media `t` that an account pays for, and its parameters."""
    conditions, params = of_account(account)
    return " union all ".join(
        f"select {columns} from media t where {c}" for c in conditions
    ), params


async def count(db: Connection, account: Resource) -> Mapping[Measure, Amount]:
    """Counts what an account uses, from the rows of all that is charged."""
    return (await compare(db, account)).counted


async def compare(db: Connection, account: Resource) -> Comparison:
    """Reads the ledger of an account and counts the rows, in one statement, so both are as of the
    same moment."""
    conditions, params = of_account(account)
    counts = " union all ".join(
        f"""
        select m.bytes as used, m.number as media, u.bytes as reserved, u.number as uploads,
               d.derived
        from (
            select coalesce(sum(t.size_bytes + t.other_bytes), 0)::bigint as bytes,
                   count(*) as number
            from media t where {condition}
        ) m, (
            select coalesce(sum({RESERVED}), 0)::bigint as bytes,
                   count(*) filter (where not t.replaces) as number
            from uploads t where t.state in ('ACTIVE', 'VERIFYING') and {condition}
        ) u, (
            select coalesce(json_object_agg(measure, amount), '{{}}') as derived from (
                select b.measure, sum(b.size_bytes)::bigint as amount
                from media t join charged_blobs b on b.media_id = t.media_id
                where {condition} group by b.measure
                union all
                select 'PROCESSING_SECONDS',
                       coalesce(sum(charged_seconds(t.end_time, t.slot_seconds)), 0)::bigint
                from jobs t where t.parent_id is null and {condition}
            ) by_measure
        ) d
        """
        for condition in conditions
    )
    rows = await db.execute(
        f"""
        select c.*, l.* from ({counts}) c, (
            select max(q.update_time) as correct_time, month_of(now()) as month,
                   coalesce(json_object_agg(
                       q.measure, json_build_array(q.reserved, used_now(q.used, q.period_start))
                   ) filter (where q.measure is not null), '{{}}') as ledger
            from quotas q where q.account = %(account)s
        ) l
        """.encode(),
        {**params, "account": str(account)},
    )
    found = await rows.fetchall()
    derived = Counter[str]()
    for row in found:
        derived.update(row["derived"])
    bytes_, media = (
        Amount(sum(row[reserved] for row in found), sum(row[used] for row in found))
        for reserved, used in (("reserved", "used"), ("uploads", "media"))
    )
    counted = {
        Measure.BYTES: bytes_,
        Measure.MEDIA: media,
        Measure.FILE_BYTES: Amount(),
        **{each: Amount(used=derived[each]) for each in COUNTED},
    }
    ledger = {each: Amount(*found[0]["ledger"].get(each, (0, 0))) for each in Measure}
    return Comparison(Mark(found[0]["correct_time"], found[0]["month"]), ledger, counted)


async def usage(db: Connection, account: Resource, days: int) -> Usage:
    """Counts what an account stores, in one pass over its media."""
    paid, params = paid_media(
        account,
        "t.media_id, t.kind, t.project_id, t.create_time, t.delete_time,"
        " t.size_bytes + t.other_bytes as size_bytes",
    )
    rows = await db.execute(
        f"""
        with days as (select (now() at time zone 'utc')::date - %(days)s + 1 as first),
        paid as (
            select p.kind, p.project_id, p.size_bytes, r.bytes as rendition_bytes,
                   p.delete_time is not null as deleted,
                   case when (p.create_time at time zone 'utc')::date >= days.first
                   then (p.create_time at time zone 'utc')::date end as day
            from ({paid}) p cross join days
            left join lateral (
                select sum(b.size_bytes) as bytes from charged_blobs b
                where b.media_id = p.media_id and b.measure = 'RENDITION_BYTES'
            ) r on true
        )
        select kind, project_id, day, deleted, count(*) as media,
               case grouping(kind, project_id, day, deleted) when 7 then 'kind'
               when 11 then 'project_id' when 13 then 'day' when 14 then 'deleted' else 'all' end
                   as by,
               coalesce(sum(size_bytes), 0)::bigint as bytes,
               coalesce(sum(rendition_bytes), 0)::bigint as rendition_bytes
        from paid group by grouping sets ((kind), (project_id), (day), (deleted), ())
        order by bytes desc
        """.encode(),
        {**params, "days": days},
    )
    by: dict[str, dict[Any, Stored]] = defaultdict(dict)
    async for row in rows:
        stored = Stored(row["media"], row["bytes"], row["rendition_bytes"])
        by[row["by"]][row.get(row["by"])] = stored
    by["day"].pop(None, None)  # earlier days
    return Usage(
        str(account),
        by["all"][None],
        by["kind"],
        dict(islice(by["project_id"].items(), MAX_PROJECTS)),
        dict(sorted(by["day"].items())),
        by["deleted"].get(True, Stored()),
    )
