"""SQL that reads entries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from media_service.access.policy import Condition
from media_service.audit.model import Entry
from media_service.db.audit_entry import Category
from media_service.db.transaction import Connection

SELECT = """
    select e.time, e.entry_id::text as entry_id, e.category, e.action, e.actor_type,
           coalesce(p.id, '') as actor_id, coalesce(e.person_id::text, '') as person_id, e.org_id,
           e.project_id, coalesce(e.media_id::text, '') as media_id,
           coalesce(m.filename, '') as filename, e.version, e.resource_id, e.outcome, e.counted,
           e.requests, e.bytes, e.credential_id, e.request_id, coalesce(o.address, '') as address,
           coalesce(o.user_agent, '') as user_agent
    from audit_entries e
    left join audit_people p on p.person_id = e.person_id
    left join audit_origins o on o.time = e.time and o.entry_id = e.entry_id
    left join media m on m.media_id = e.media_id
"""
NEWEST = "order by e.time desc, e.entry_id desc"
OLDEST = "order by e.time, e.entry_id"


def of_media(media_id: str) -> Condition:
    return Condition("e.media_id = %s", (media_id,))


def of_person(person_id: str) -> Condition:
    return Condition("e.person_id = %s", (person_id,))


def of_category(category: Category) -> Condition:
    return Condition("e.category = %s", (category,))


def before(time: datetime, entry_id: str) -> Condition:
    return Condition("(e.time, e.entry_id) < (%s, %s::uuid)", (time, entry_id))


def after(time: datetime, entry_id: str) -> Condition:
    return Condition("(e.time, e.entry_id) > (%s, %s::uuid)", (time, entry_id))


def since(time: datetime) -> Condition:
    return Condition("e.time >= %s", (time,))


def until(time: datetime) -> Condition:
    return Condition("e.time < %s", (time,))


async def page(db: Connection, where: Sequence[Condition], order: str, limit: int) -> list[Entry]:
    condition = " and ".join(each.sql for each in where)
    params: list[Any] = [value for each in where for value in each.params]
    query = f"{SELECT} where {condition} {order} limit %s"
    rows = await db.execute(query.encode(), (*params, limit))
    return [
        Entry(**{**row, "category": Category(row["category"])}) for row in await rows.fetchall()
    ]


async def person_of(db: Connection, kind: str, actor_id: str) -> str | None:
    """The random id that stands for a caller; None if the log has nothing of them."""
    rows = await db.execute(
        "select person_id::text as person_id from audit_people where type = %s and id = %s",
        (kind, actor_id),
    )
    row = await rows.fetchone()
    return row["person_id"] if row else None
