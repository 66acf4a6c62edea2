"""SQL of policies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from media_service.db.transaction import Connection, Transaction
from media_service.media.policy import Policy
from media_service.policies.model import BlockedFile
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


# Blocked files


def blocked_file(row: Mapping[str, Any]) -> BlockedFile:
    return BlockedFile(row["scope"], row["sha256"], row["note"], row["create_time"])


async def block(db: Connection, resource: Resource, sha256: bytes, note: str) -> BlockedFile:
    rows = await db.execute(
        """
        insert into blocked_files (sha256, scope, note) values (%s, %s, %s)
        on conflict (sha256, scope) do update set note = excluded.note
        returning *
        """,
        (sha256, str(resource), note),
    )
    row = await rows.fetchone()
    assert row  # noqa: S101 - inserted or updated
    return blocked_file(row)


async def unblock(db: Connection, resource: Resource, sha256: bytes) -> None:
    await db.execute(
        "delete from blocked_files where sha256 = %s and scope = %s", (sha256, str(resource))
    )


async def blocked_page(
    db: Connection, resource: Resource, after: bytes, limit: int
) -> list[BlockedFile]:
    """The files on the list of a resource, by hash."""
    rows = await db.execute(
        "select * from blocked_files where scope = %s and sha256 > %s order by sha256 limit %s",
        (str(resource), after, limit),
    )
    return [blocked_file(row) async for row in rows]


async def screens(db: Connection, org_id: str) -> bool:
    """Whether a list of blocked files applies in an organization, or outside of organizations."""
    rows = await db.execute(
        "select exists (select from blocked_files where scope in ('service:', %s)) as any",
        (f"organization:{org_id}",),
    )
    row = await rows.fetchone()
    return row is not None and bool(row["any"])


async def is_blocked(db: Connection, org_id: str, sha256: bytes) -> bool:
    rows = await db.execute(
        "select exists (select from blocked_files where sha256 = %s and scope in ('service:', %s))"
        " as any",
        (sha256, f"organization:{org_id}"),
    )
    row = await rows.fetchone()
    return row is not None and bool(row["any"])


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
