"""SQL of policies."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from psycopg.types.json import Jsonb

from media_service.db.transaction import Connection, Transaction
from media_service.media.policy import Policy
from media_service.sharing.resources import Resource


async def get(db: Connection, resource: Resource) -> Policy | None:
    rows = await db.execute("select settings from policies where resource = %s", (str(resource),))
    row = await rows.fetchone()
    return msgspec.convert(row["settings"], Policy) if row else None


async def put(db: Connection, resource: Resource, policy: Policy) -> None:
    await db.execute(
        """
        insert into policies (resource, settings) values (%s, %s)
        on conflict (resource) do update set settings = excluded.settings, update_time = now()
        """,
        (str(resource), Jsonb(msgspec.to_builtins(policy))),
    )


async def remove(db: Connection, resource: Resource) -> None:
    await db.execute("delete from policies where resource = %s", (str(resource),))


# Retention


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the media in an organization or a project are kept."""

    resource: str
    days: int


async def retentions(db: Connection) -> Sequence[Retention]:
    rows = await db.execute(
        "select resource, (settings->>'retention_days')::int as days from policies"
        " where settings->'retention_days' is not null order by resource"
    )
    return [Retention(row["resource"], row["days"]) async for row in rows]


COLUMNS = {"organization": "org_id", "project": "project_id"}


async def outdated(db: Transaction, retention: Retention, limit: int) -> Sequence[str]:
    """Locks and returns the media that are older than their policy allows, oldest first. Skips
    media that are locked."""
    kind, _, id_ = retention.resource.partition(":")
    column = COLUMNS[kind]
    rows = await db.execute(
        f"""
        select m.media_id::text as media_id from media m
        where m.{column} <> '' and m.{column} = %s and m.delete_time is null
          and m.create_time < now() - make_interval(days => %s)
        order by m.create_time, m.media_id limit %s
        for update skip locked
        """.encode(),
        (id_, retention.days, limit),
    )
    return [row["media_id"] async for row in rows]
