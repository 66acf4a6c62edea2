"""SQL of the statistics by day."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from media_service.audit.model import Scope
from media_service.db.transaction import Connection, Transaction

LOCK = 0x61756474  # "audt"
# The action of refused calls, whatever they would have done.
DENIED = "access.denied"


@dataclass(frozen=True, slots=True)
class Group:
    """Entries of one day that are counted together. `people`: the ids of the callers, or their
    sketch."""

    scope: str
    scope_id: str
    day: date
    action: str
    requests: int
    views: int
    downloads: int
    bytes: int
    people: Any

    @property
    def key(self) -> tuple[str, str, date, str]:
        return self.scope, self.scope_id, self.day, self.action


async def take(tx: Transaction, limit: int) -> tuple[str, str] | None:
    """The transactions, from the first until before the second, whose entries are rolled up next:
    with about `limit` entries, and only such that no other one can be among. None: another process
    is at it, or there is nothing to do."""
    locked = await tx.execute("select from pg_try_advisory_xact_lock(%s) as l where l", (LOCK,))
    if not locked.rowcount:
        return None
    rows = await tx.execute(
        """
        with position as (
            select coalesce((select next_transaction from audit_roll_up), '0') as start,
                   pg_snapshot_xmin(pg_current_snapshot()) as horizon
        )
        select start::text, coalesce(
            (
                select transaction_id from audit_entries
                where transaction_id > start and transaction_id < horizon
                order by transaction_id offset %s limit 1
            ),
            horizon
        )::text as until
        from position
        where start < horizon
        """,
        (limit,),
    )
    row = await rows.fetchone()
    return (row["start"], row["until"]) if row else None


async def advance(tx: Transaction, until: str) -> None:
    await tx.execute(
        "insert into audit_roll_up (next_transaction) values (%s::xid8)"
        " on conflict (only_row) do update set next_transaction = excluded.next_transaction",
        (until,),
    )


async def groups(tx: Transaction, start: str, until: str) -> list[Group]:
    rows = await tx.execute(
        """
        select s.scope, s.scope_id, (e.time at time zone 'UTC')::date as day,
               case e.category when 'DENIAL' then %(denied)s else e.action end as action,
               sum(e.requests) as requests,
               count(*) filter (where e.counted and e.category = 'VIEW') as views,
               count(*) filter (where e.counted and e.category = 'DOWNLOAD') as downloads,
               sum(e.bytes) as bytes,
               array_agg(distinct e.person_id::text) filter (where e.person_id is not null)
                   as people
        from audit_entries e
        cross join lateral (values
            ('media', coalesce(e.media_id::text, '')),
            ('project', e.project_id),
            ('organization', e.org_id)
        ) as s (scope, scope_id)
        where e.transaction_id >= %(start)s::xid8 and e.transaction_id < %(until)s::xid8
          and s.scope_id <> ''
        group by s.scope, s.scope_id, 3, 4
        """,
        {"denied": DENIED, "start": start, "until": until},
    )
    return [group_from(row) async for row in rows]


def group_from(row: dict[str, Any]) -> Group:
    return Group(
        row["scope"],
        row["scope_id"],
        row["day"],
        row["action"],
        int(row["requests"]),
        int(row["views"]),
        int(row["downloads"]),
        int(row["bytes"]),
        row["people"],
    )


async def known(tx: Transaction, wanted: Sequence[Group]) -> list[Group]:
    """What the days have of these groups already."""
    keys = [
        {"scope": g.scope, "id": g.scope_id, "day": str(g.day), "action": g.action} for g in wanted
    ]
    rows = await tx.execute(
        """
        select d.* from json_to_recordset(%s::json)
            as k (scope text, id text, day date, action text)
        join audit_days d
            on (d.scope, d.scope_id, d.day, d.action) = (k.scope, k.id, k.day, k.action)
        """,
        (json.dumps(keys),),
    )
    return [group_from(row) async for row in rows]


async def put(tx: Transaction, found: Sequence[Group]) -> None:
    """Writes the groups, whose `people` are sketches."""
    values = [
        {
            "scope": g.scope,
            "scope_id": g.scope_id,
            "day": str(g.day),
            "action": g.action,
            "requests": g.requests,
            "views": g.views,
            "downloads": g.downloads,
            "bytes": g.bytes,
            "people": f"\\x{g.people.hex()}",
        }
        for g in found
    ]
    await tx.execute(
        """
        insert into audit_days
        select * from json_populate_recordset(null::audit_days, %s::json)
        on conflict (scope, scope_id, day, action) do update set
            requests = excluded.requests, views = excluded.views, downloads = excluded.downloads,
            bytes = excluded.bytes, people = excluded.people
        """,
        (json.dumps(values),),
    )


async def of_period(db: Connection, scope: Scope, scope_id: str, days: int) -> list[Group]:
    """The last `days` days, today included, by day and action."""
    rows = await db.execute(
        """
        select * from audit_days
        where scope = %s and scope_id = %s
          and day > (now() at time zone 'UTC')::date - %s::integer
        order by day, action
        """,
        (scope, scope_id, days),
    )
    return [group_from(row) async for row in rows]
