"""SQL of the processes that write entries."""

from collections.abc import Sequence
from datetime import datetime

from media_service.db.audit_entry import AuditEntry, Category
from media_service.db.transaction import Connection, Transaction


async def insert(tx: Transaction, entries: Sequence[AuditEntry]) -> list[tuple[str, Category]]:
    """Adds entries. Returns the media and the category of those that count."""
    if not entries:
        return []
    rows = await tx.write_entries(entries)
    return [(row["media_id"], Category(row["category"])) async for row in rows]


async def beat(db: Connection, writer_id: str, flushed: datetime) -> bool:
    """Says that a writer has written all entries before `flushed`. Returns False if the writer is
    not registered."""
    rows = await db.execute(
        "update audit_writers set flush_time = %s, beat_time = now() where writer_id = %s",
        (flushed, writer_id),
    )
    return rows.rowcount == 1


async def register(db: Connection, writer_id: str, flushed: datetime) -> None:
    await db.execute(
        "insert into audit_writers (writer_id, flush_time, beat_time) values (%s, %s, now())",
        (writer_id, flushed),
    )


async def unregister(db: Connection, writer_id: str) -> None:
    await db.execute("delete from audit_writers where writer_id = %s", (writer_id,))
