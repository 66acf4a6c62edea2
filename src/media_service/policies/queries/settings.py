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


@dataclass(frozen=True, slots=True)
class VersionRetention:
    """How many earlier versions of the media in an organization or a project are kept, and for how
    many days."""

    resource: str
    versions: int | None
    days: int | None


async def version_retentions(db: Connection) -> Sequence[VersionRetention]:
    rows = await db.execute(
        "select resource, (settings->>'keep_versions')::int as versions,"
        " (settings->>'keep_versions_days')::int as days from policies"
        " where settings->'keep_versions' is not null"
        " or settings->'keep_versions_days' is not null order by resource"
    )
    return [VersionRetention(r["resource"], r["versions"], r["days"]) async for r in rows]


async def outdated_versions(
    db: Connection, retention: VersionRetention, limit: int
) -> Sequence[tuple[str, int]]:
    """Versions before the current one that are not kept."""
    kind, _, id_ = retention.resource.partition(":")
    column = COLUMNS[kind]
    rows = await db.execute(
        f"""
        select media_id::text as media_id, version from (
            select v.media_id, v.version, coalesce(v.replace_time, v.create_time) as since,
                   row_number() over (partition by v.media_id order by v.version desc) as place
            from media m join media_versions v on v.media_id = m.media_id
            where m.{column} <> '' and m.{column} = %(id)s and m.latest_version > 1
              and v.version < m.version
        ) v
        where place > %(versions)s or since < now() - make_interval(days => %(days)s)
        order by media_id, version limit %(limit)s
        """.encode(),
        {"id": id_, "versions": retention.versions, "days": retention.days, "limit": limit},
    )
    return [(row["media_id"], row["version"]) async for row in rows]


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
