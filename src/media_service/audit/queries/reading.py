"""SQL that reads entries."""

import json
import re
from collections.abc import Mapping, Sequence
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
           coalesce(o.user_agent, '') as user_agent, e.details
    from audit_entries e
    left join audit_people p on p.person_id = e.person_id
    left join audit_origins o on o.time = e.time and o.entry_id = e.entry_id
    left join media m on m.media_id = e.media_id
"""
NEWEST = "order by e.time desc, e.entry_id desc"
OLDEST = "order by e.time, e.entry_id"
# How names of resources and details name a user.
USER = re.compile(r"(?<=user:)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def of_media(media_id: str) -> Condition:
    return Condition("e.media_id = %s", (media_id,))


def of_caller(kind: str, id_: str) -> Condition:
    return Condition(
        "e.person_id = any(array(select person_id from audit_people where type = %s and id = %s))",
        (kind, id_),
    )


def of_project(project_id: str) -> Condition:
    return Condition("e.project_id <> '' and e.project_id = %s", (project_id,))


def of_organization(org_id: str) -> Condition:
    return Condition("e.org_id <> '' and e.org_id = %s", (org_id,))


def by_caller_in(kind: str, id_: str, org_id: str) -> Condition:
    """What a caller did in an organization. It leaves out refused media: listing those of the
    organization alone would tell which media exist."""
    by_caller = of_caller(kind, id_)
    return Condition(
        f"{by_caller.sql} and e.org_id = %s and (e.category <> 'DENIAL' or e.media_id is null)",
        (*by_caller.params, org_id),
    )


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
    rows = await (await db.execute(query.encode(), (*params, limit))).fetchall()
    ids = {id_ for row in rows for text in named_in(row) for id_ in USER.findall(text)}
    names = await names_of(db, sorted(ids))

    def named(text: str) -> str:
        return USER.sub(lambda found: names.get(found[0], found[0]), text)

    return [
        Entry(
            **{
                **row,
                "category": Category(row["category"]),
                "resource_id": named(row["resource_id"]),
                "details": {
                    name: named(value) for name, value in json.loads(row["details"] or "{}").items()
                },
            }
        )
        for row in rows
    ]


def named_in(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["resource_id"], row["details"]


async def names_of(db: Connection, person_ids: Sequence[str]) -> dict[str, str]:
    """The users of these random ids, except those that were erased."""
    if not person_ids:
        return {}
    rows = await db.execute(
        "select person_id::text as person_id, id from audit_people"
        " where person_id = any(%s::uuid[]) and type = 'user'",
        (list(person_ids),),
    )
    return {row["person_id"]: row["id"] async for row in rows}
