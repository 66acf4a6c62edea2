"""SQL of erasures."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from media_service.db.personal_data import Fate
from media_service.db.transaction import Connection
from media_service.privacy.model import ErasedRows, Erasure

SELECT = "select e.*, e.erasure_id::text as erasure_id from erasures e"


def record(row: Mapping[str, Any]) -> Erasure:
    counts = [
        ErasedRows(table, Fate(fate), count)
        for table, fates in sorted(row["counts"].items())
        for fate, count in sorted(fates.items())
    ]
    return Erasure(
        row["erasure_id"],
        row["pseudonym"],
        row["names"],
        counts,
        row["passes"],
        row["report"],
        row["signature"],
        row["public_key"],
        row["create_time"],
        row["end_time"],
    )


async def get(db: Connection, erasure_id: str) -> Erasure | None:
    rows = await db.execute(f"{SELECT} where erasure_id = %s".encode(), (erasure_id,))
    row = await rows.fetchone()
    return record(row) if row else None


async def lock(db: Connection, erasure_id: str) -> Erasure | None:
    rows = await db.execute(f"{SELECT} where erasure_id = %s for update".encode(), (erasure_id,))
    row = await rows.fetchone()
    return record(row) if row else None


async def unfinished(db: Connection, name: str) -> Erasure | None:
    """The erasure of a user that has not ended. Only one transaction at a time can begin one."""
    await db.execute("lock table erasures in share row exclusive mode")
    rows = await db.execute(
        f"{SELECT} where end_time is null and names @> array[%s]".encode(), (name,)
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def insert(db: Connection, erasure_id: str, pseudonym: str, name: str) -> None:
    await db.execute(
        "insert into erasures (erasure_id, pseudonym, names) values (%s, %s, %s)",
        (erasure_id, pseudonym, [name]),
    )


async def add_accounts(db: Connection, erasure_id: str) -> None:
    """Adds the service accounts of the user to the names, because they are erased as well."""
    await db.execute(
        """
        update erasures e set names = e.names || array(
            select 'service_account:' || a.service_account_id from service_accounts a
            where a.owner_type || ':' || a.owner_id = e.names[1]
              and 'service_account:' || a.service_account_id <> all(e.names)
        )
        where erasure_id = %s and end_time is null
        """,
        (erasure_id,),
    )


async def accounts_of(db: Connection, name: str) -> list[str]:
    """The service accounts of a user, as grantees."""
    rows = await db.execute(
        "select 'service_account:' || a.service_account_id as name from service_accounts a"
        " where a.owner_type || ':' || a.owner_id = %s order by 1",
        (name,),
    )
    return [row["name"] async for row in rows]


async def add_count(db: Connection, erasure_id: str, erased: ErasedRows) -> None:
    await db.execute(
        """
        update erasures set counts = counts || jsonb_build_object(
            %(table)s::text,
            coalesce(counts -> %(table)s, '{}') || jsonb_build_object(
                %(fate)s::text,
                coalesce((counts -> %(table)s ->> %(fate)s)::bigint, 0) + %(count)s
            )
        )
        where erasure_id = %(erasure_id)s
        """,
        {
            "table": erased.table,
            "fate": erased.fate,
            "count": erased.count,
            "erasure_id": erasure_id,
        },
    )


async def add_pass(db: Connection, erasure_id: str) -> None:
    await db.execute("update erasures set passes = passes + 1 where erasure_id = %s", (erasure_id,))


async def end(db: Connection, erasure_id: str, report: str, time: datetime) -> None:
    """Forgets whom the erasure was about."""
    await db.execute(
        "update erasures set report = %s, end_time = %s, names = '{}' where erasure_id = %s",
        (report, time, erasure_id),
    )


async def sign(db: Connection, erasure_id: str, signature: bytes, public_key: bytes) -> None:
    await db.execute(
        "update erasures set signature = %s, public_key = %s where erasure_id = %s",
        (signature, public_key, erasure_id),
    )


async def removals_waiting(db: Connection, since: datetime, until: datetime) -> bool:
    """Whether bytes wait to be removed whose rows were removed in this time."""
    rows = await db.execute(
        "select exists (select from jobs where kind in ('UNLINK', 'DISCARD')"
        " and state in ('QUEUED', 'RUNNING') and owner_type is null"
        " and create_time >= %s and create_time < %s) as waiting",
        (since, until),
    )
    row = await rows.fetchone()
    return bool(row and row["waiting"])
