"""SQL of the chain of digests."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from media_service.db.queries import PERSON_ID
from media_service.db.transaction import Connection, Transaction

PAGE = 5000
# A writer that has not been heard of for so long is dead. If it is not, it notices that it was
# removed, and its entries get the time at which it writes them.
DEAD = timedelta(minutes=5)
# After an hour ends, for transactions that begin at its end.
GRACE = timedelta(minutes=1)


# A former id was not made of a name. An entry has a digest of it: see migration 0050.
RENAMED = f"""
    select person_id::text as person_id from audit_people p
    where person_id is distinct from {PERSON_ID}
      and not exists (
          select from audit_entries e
          where e.time = p.name_time and e.entry_id = p.name_entry_id
            and e.resource_id = p.type || ':' || p.person_id
            and e.details = '{{"name_digest":"' || encode(
                sha256(p.salt || convert_to(p.type || chr(10) || p.id, 'UTF8')), 'hex'
            ) || '"}}'
      )
    order by person_id limit 1
"""


@dataclass(frozen=True, slots=True)
class Digest:
    hour: datetime
    entries: int
    content: bytes
    digest: bytes


async def next_hour(db: Connection) -> datetime | None:
    """The first hour that is not sealed; None if there are no entries."""
    rows = await db.execute(
        """
        select coalesce(
            (select max(hour) + interval '1 hour' from audit_digests),
            date_trunc('hour', (select min(time) from audit_entries), 'UTC')
        ) as hour
        """
    )
    row = await rows.fetchone()
    found: datetime | None = row["hour"] if row else None
    return found


async def remove_dead_writers(db: Connection) -> None:
    await db.execute("delete from audit_writers where beat_time < now() - %s", (DEAD,))


async def can_be_sealed(db: Connection, end: datetime) -> bool:
    """Whether no entry can be added any more to the hour that ends at `end`: every writer has
    written its entries, and no transaction has begun before. An entry that a transaction writes by
    itself has the time at which the transaction began."""
    rows = await db.execute(
        """
        select now() >= %(end)s + %(grace)s
            and not exists (select from audit_writers where flush_time < %(end)s)
            and not exists (
                select from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()
                  and backend_type = 'client backend' and xact_start < %(end)s
            ) as quiet
        """,
        {"end": end, "grace": GRACE},
    )
    row = await rows.fetchone()
    return bool(row and row["quiet"])


async def entries(
    db: Connection, start: datetime, end: datetime
) -> AsyncGenerator[dict[str, Any], None]:
    """The entries from `start` until before `end`, in the order of the digest."""
    after = (start, "00000000-0000-0000-0000-000000000000")
    while True:
        rows = await db.execute(
            """
            select time, entry_id::text as entry_id, category, action, actor_type,
                   person_id::text as person_id, org_id, project_id, media_id::text as media_id,
                   version, resource_id, outcome, counted, requests, bytes, credential_id,
                   request_id, encode(origin_hash, 'hex') as origin_hash, details
            from audit_entries
            where time >= %s and time < %s and (time, entry_id) > (%s, %s::uuid)
            order by audit_entries.time, audit_entries.entry_id
            limit %s
            """,
            (after[0], end, *after, PAGE),
        )
        page = await rows.fetchall()
        for row in page:
            yield row
        if len(page) < PAGE:
            return
        after = (page[-1]["time"], page[-1]["entry_id"])


async def origins(
    db: Connection, start: datetime, end: datetime
) -> AsyncGenerator[dict[str, Any], None]:
    """The personal part of entries that still have one, with the hash in the entry."""
    rows = await db.execute(
        """
        select o.time, o.salt, o.address, o.user_agent, e.origin_hash
        from audit_origins o left join audit_entries e using (time, entry_id)
        where o.time >= %s and o.time < %s
        """,
        (start, end),
    )
    async for row in rows:
        yield row


async def renamed_person(db: Connection) -> str | None:
    """The id of a caller whose name is not the one that the id was made of."""
    rows = await db.execute(RENAMED.encode())
    row = await rows.fetchone()
    return row["person_id"] if row else None


async def get(db: Connection, hour: datetime) -> Digest | None:
    rows = await db.execute(f"{SELECT} where hour = %s".encode(), (hour,))
    row = await rows.fetchone()
    return digest_from(row) if row else None


async def last(db: Connection) -> Digest | None:
    """The newest hour that is sealed."""
    rows = await db.execute(f"{SELECT} order by hour desc limit 1".encode())
    row = await rows.fetchone()
    return digest_from(row) if row else None


async def all_digests(db: Connection) -> list[Digest]:
    rows = await db.execute(f"{SELECT} order by hour".encode())
    return [digest_from(row) async for row in rows]


SELECT = "select hour, entries, content, digest from audit_digests"


def digest_from(row: dict[str, Any]) -> Digest:
    return Digest(row["hour"], row["entries"], row["content"], row["digest"])


async def add(tx: Transaction, digest: Digest) -> bool:
    """Returns False if the hour is sealed already."""
    rows = await tx.execute(
        "insert into audit_digests (hour, entries, content, digest) values (%s, %s, %s, %s)"
        " on conflict do nothing",
        (digest.hour, digest.entries, digest.content, digest.digest),
    )
    return rows.rowcount == 1
