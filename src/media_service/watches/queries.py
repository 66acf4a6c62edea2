"""SQL of watch tickets."""

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from media_service.db.due_rows import delete_expired
from media_service.db.transaction import Connection


async def add(
    db: Connection,
    ticket_hash: bytes,
    resource_field: str,
    resource_id: str,
    principal: dict[str, Any],
    expire_time: datetime,
) -> None:
    await db.execute(
        "insert into watch_tickets"
        " (ticket_hash, resource_field, resource_id, principal, expire_time)"
        " values (%s, %s, %s, %s, %s)",
        (ticket_hash, resource_field, resource_id, Jsonb(principal), expire_time),
    )


async def redeem(
    db: Connection,
    ticket_hash: bytes,
    resource_field: str,
    resource_id: str,
    reconnect_hash: bytes,
    expire_time: datetime,
) -> dict[str, Any] | None:
    """Replaces a valid ticket for this resource by what reconnects, and returns its principal; None
    if there is none. `resource_id` may be any text."""
    rows = await db.execute(
        "with used as (delete from watch_tickets"
        " where ticket_hash = %s and resource_field = %s and resource_id::text = lower(%s)"
        " and expire_time > now() returning resource_field, resource_id, principal)"
        " insert into watch_tickets"
        " (ticket_hash, resource_field, resource_id, principal, expire_time)"
        " select %s, resource_field, resource_id, principal, %s from used returning principal",
        (ticket_hash, resource_field, resource_id, reconnect_hash, expire_time),
    )
    row = await rows.fetchone()
    return row["principal"] if row else None


async def reconnect(
    db: Connection, reconnect_hash: bytes, resource_field: str, resource_id: str
) -> dict[str, Any] | None:
    """The principal of a ticket that was redeemed for this resource; None if there is none."""
    rows = await db.execute(
        "select principal from watch_tickets"
        " where ticket_hash = %s and resource_field = %s and resource_id::text = lower(%s)"
        " and expire_time > now()",
        (reconnect_hash, resource_field, resource_id),
    )
    row = await rows.fetchone()
    return row["principal"] if row else None


async def delete_expired_tickets(db: Connection, limit: int) -> int:
    return await delete_expired(db, "watch_tickets", "ticket_hash", limit)
