"""The entries of the audit log."""

from typing import Any

from tests.support.rpc.server import Running

ENTRIES = """
    select e.category, e.action, p.id as actor, e.actor_type, e.media_id::text as media_id,
           e.outcome, e.counted, e.requests, e.bytes, o.address, o.user_agent, e.request_id,
           e.version, e.credential_id, e.details
    from audit_entries e
    left join audit_people p using (person_id)
    left join audit_origins o using (time, entry_id)
    order by e.time, e.entry_id
"""


async def entries(service: Running, *names: str) -> list[tuple[Any, ...]]:
    """What the log holds, by time."""
    async with service.database() as db:
        cursor = await db.execute(ENTRIES)
        assert cursor.description
        columns = [column.name for column in cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in await cursor.fetchall()]
    return [tuple(row[name] for name in names) for row in rows]
