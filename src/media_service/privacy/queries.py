"""SQL of erasures."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from media_service.db.personal_data import Fate, Person, organizations_of
from media_service.db.transaction import Connection, Transaction
from media_service.privacy.model import ErasedRows, Erasure, digest_of

# What the audit log has about the end of an erasure.
END_ACTION = "erasures.end"
SELECT = f"""
    select e.*, e.erasure_id::text as erasure_id, (
        select a.details from audit_entries a
        where a.time = e.end_time and a.action = '{END_ACTION}'
          and a.resource_id = e.erasure_id::text
    ) as recorded
    from erasures e
"""


def record(row: Mapping[str, Any]) -> Erasure:
    counts = [
        ErasedRows(table, Fate(fate), count)
        for table, fates in sorted(row["counts"].items())
        for fate, count in sorted(fates.items())
    ]
    recorded = json.loads(row["recorded"] or "{}")
    return Erasure(
        row["erasure_id"],
        row["pseudonym"],
        row["names"],
        counts,
        row["passes"],
        row["report"],
        bytes.fromhex(recorded.get("report_digest", "")),
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


async def add_names(db: Connection, erasure_id: str, names: Sequence[str]) -> None:
    await db.execute(
        "update erasures set names = names || %s::text[] where erasure_id = %s",
        (list(names), erasure_id),
    )


async def accounts_of(db: Connection, person: Person) -> list[str]:
    """The service accounts of a user, as grantees."""
    rows = await db.execute(
        "select 'service_account:' || a.service_account_id as name from service_accounts a"
        " where a.org_id = any(%s) and a.owner_type = %s and a.owner_id = %s order by 1",
        (await organizations_of(db, "service_accounts", person), person.type, person.id),
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


async def transaction_time(tx: Transaction) -> datetime:
    """The time of the entries that the transaction adds to the audit log."""
    row = await (await tx.execute("select now() as time")).fetchone()
    assert row  # noqa: S101 - one row is always returned
    time: datetime = row["time"]
    return time


async def end(tx: Transaction, erasure_id: str, report: str) -> None:
    """Forgets whom the erasure was about, and records the digest of the report in the audit log."""
    await tx.execute(
        "update erasures set report = %s, end_time = now(), names = '{}' where erasure_id = %s",
        (report, erasure_id),
    )
    details = {"report_digest": digest_of(report).hex()}
    tx.audit(END_ACTION, resource_id=erasure_id, details=details)


async def changed_report(db: Connection, since: datetime) -> str | None:
    """The first erasure since then whose report is not the one in the audit log."""
    rows = await db.execute(
        f"{SELECT} where e.end_time >= %s order by e.end_time".encode(), (since,)
    )
    async for row in rows:
        if not (found := record(row)).is_recorded:
            return found.erasure_id
    return None


async def sign(db: Connection, erasure_id: str, signature: bytes, public_key: bytes) -> None:
    await db.execute(
        "update erasures set signature = %s, public_key = %s where erasure_id = %s",
        (signature, public_key, erasure_id),
    )


async def removals_waiting(db: Connection, since: datetime, until: datetime) -> bool:
    """Whether bytes wait to be removed whose rows were removed in this time."""
    removal = """
        exists (
            select from jobs where {} and kind in ('UNLINK', 'DISCARD') and owner_type is null
              and create_time >= %(since)s and create_time < %(until)s
        )
    """
    open_ = ("state = 'QUEUED' and ready", "state = 'QUEUED' and not ready", "state = 'RUNNING'")
    found = " or ".join(removal.format(each) for each in open_)  # each has an index
    rows = await db.execute(f"select {found} as waiting".encode(), {"since": since, "until": until})
    row = await rows.fetchone()
    return bool(row and row["waiting"])
