"""SQL of collections and their members."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.sql import SQL, Identifier

from media_service.access.lists import Key, Table, after_sql, order_sql, page_of
from media_service.access.owner import Owner
from media_service.access.policy import Condition, scope
from media_service.access.principal import LINK, Principal
from media_service.access.queries import (
    CALLER,
    Scope,
    caller_params,
    collection_keys,
    collection_readable_by_link,
    media_keys,
    readable_by_link,
    role,
    visible,
)
from media_service.access.role import Role
from media_service.collections.model import Collection, Member, NewCollection
from media_service.db.transaction import Connection
from media_service.events.model import Followed
from media_service.media import queries as media_queries
from media_service.media.model import Listed

TABLE = Table("collections", "k", "collection_id", media_id=None, nested=True)
# Links to projects share no collections.
TABLE_OF_LINKS = replace(TABLE, in_projects=False)
NEWEST = (Key("create_time", descending=True), Key("collection_id", descending=True))
# Between the positions of two members, so that others fit in between.
GAP = 1 << 20


def select(*, links: bool) -> str:
    """Collections `k` as a caller `c` sees them, with the parent and the cover if they see those.
    `links`: whether a share link may be the caller."""
    role_sql, parent_role = (role(each, collection_keys(each)) for each in ("k", "p"))
    cover_role = role("m", media_keys("m", "media_id"))
    if links:
        role_sql = collection_readable_by_link("k", role_sql)
        parent_role = collection_readable_by_link("p", parent_role)
        cover_role = readable_by_link(cover_role)
    return f"""
        select k.*, k.collection_id::text as collection_id, k.path::text[] as path,
               coalesce((
                   select p.collection_id::text from collections p
                   where p.collection_id = k.parent_id and {parent_role} > 0
               ), '') as parent_id,
               coalesce((
                   select m.media_id::text from media m
                   where m.media_id = k.cover_media_id and {cover_role} > 0
               ), '') as cover_media_id,
               {role_sql} as role
    """


# By whether a share link is the caller.
SELECT = {links: select(links=links) for links in (False, True)}


def record(row: Mapping[str, Any]) -> Collection:
    return Collection(
        collection_id=row["collection_id"],
        owner=Owner(row["owner_type"], row["owner_id"], row["org_id"]),
        project_id=row["project_id"],
        parent_id=row["parent_id"],
        path=tuple(row["path"]),
        title=row["title"],
        description=row["description"],
        filter=row["filter"],
        cover_media_id=row["cover_media_id"],
        revision=row["revision"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        role=Role(row["role"]),
    )


async def get(db: Connection, collection_id: str, principal: Principal) -> Collection | None:
    rows = await db.execute(
        f"{SELECT[principal.type == LINK]} from {CALLER} cross join collections k"
        " where k.collection_id = %s".encode(),
        (*caller_params(principal), collection_id),
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def tree(
    db: Connection, principal: Principal, collection_id: str, limit: int
) -> list[Collection]:
    """A collection and those in it, by depth and age."""
    rows = await db.execute(
        f"{SELECT[principal.type == LINK]} from {CALLER} cross join collections k"
        " where k.path @> array[%s::uuid]"
        " order by cardinality(k.path), k.create_time, k.collection_id limit %s".encode(),
        (*caller_params(principal), collection_id, limit),
    )
    return [record(row) async for row in rows]


async def lock(db: Connection, collection_ids: Sequence[str]) -> None:
    """Locks collections in the order of their ids."""
    await db.execute(
        "select from collections where collection_id = any(%s::uuid[])"
        " order by collection_id for update",
        (list(collection_ids),),
    )


async def page(
    db: Connection,
    principal: Principal,
    *,
    parent_id: str,
    project_id: str,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Collection]:
    where = []
    if parent_id:
        where.append(Condition("k.parent_id = %s", (parent_id,)))
    if project_id:
        where.append(Condition("k.project_id = %s", (project_id,)))
    if after is not None:
        where.append(after_sql("k", NEWEST, after))
    link = principal.type == LINK
    found = page_of(TABLE_OF_LINKS if link else TABLE, scope(principal), where, NEWEST, limit)
    rows = await db.execute(
        f"with {found.sql} {SELECT[link]} from page"
        " join collections k on k.collection_id = page.id cross join caller c"
        f" order by {order_sql('k', NEWEST)}".encode(),
        found.params,
    )
    return [record(row) async for row in rows]


async def insert(db: Connection, new: NewCollection) -> None:
    await db.execute(
        """
        insert into collections (collection_id, org_id, owner_type, owner_id, project_id, parent_id,
                                 path, title, description, filter)
        values (%s, %s, %s, %s, %s, %s, %s::uuid[], %s, %s, %s)
        """,
        (
            new.collection_id,
            new.owner.org_id,
            new.owner.type,
            new.owner.id,
            new.project_id,
            new.parent_path[-1] if new.parent_path else None,
            [*new.parent_path, new.collection_id],
            new.title,
            new.description,
            new.filter,
        ),
    )


async def set_fields(db: Connection, collection_id: str, values: Mapping[str, Any]) -> None:
    """Changes columns, and the etag."""
    columns = SQL("").join(SQL("{} = %s, ").format(Identifier(name)) for name in values)
    await db.execute(
        SQL(
            "update collections set {}revision = revision + 1, update_time = now()"
            " where collection_id = %s"
        ).format(columns),
        (*values.values(), collection_id),
    )


async def height(db: Connection, collection: Collection) -> int:
    """How many collections are nested in it, counting itself."""
    rows = await db.execute(
        "select max(cardinality(path)) as deepest from collections where path @> array[%s::uuid]",
        (collection.collection_id,),
    )
    row = await rows.fetchone()
    return (row["deepest"] if row else len(collection.path)) - len(collection.path) + 1


async def reparent(db: Connection, collection: Collection, parent_path: Sequence[str]) -> None:
    """Moves a collection, with all in it, into the one with this path; empty: into none."""
    await db.execute(
        "update collections set path = %s::uuid[] || path[%s:] where path @> array[%s::uuid]",
        (list(parent_path), len(collection.path), collection.collection_id),
    )
    parent_id = parent_path[-1] if parent_path else None
    await set_fields(db, collection.collection_id, {"parent_id": parent_id})


async def transfer(db: Connection, collection_id: str, owner: Owner, project_id: str) -> None:
    """Gives a collection, with all in it, to an owner and a project."""
    await lock_tree(db, collection_id)
    await db.execute(
        "update collections set owner_type = %s, owner_id = %s, project_id = %s,"
        " revision = revision + 1, update_time = now() where path @> array[%s::uuid]",
        (owner.type, owner.id, project_id, collection_id),
    )


async def lock_tree(db: Connection, collection_id: str) -> None:
    """Locks a collection and all in it, in the order of their ids."""
    await db.execute(
        "select from collections where path @> array[%s::uuid] order by collection_id for update",
        (collection_id,),
    )


async def has_children(db: Connection, collection_id: str) -> bool:
    rows = await db.execute(
        "select from collections where parent_id = %s limit 1", (collection_id,)
    )
    return rows.rowcount > 0


async def remove(db: Connection, collection_ids: Sequence[str]) -> None:
    """Removes collections with all in them, and the grants on them. The media stay."""
    await db.execute(
        """
        with removed as (
            delete from collections where path && %s::uuid[] returning collection_id
        )
        delete from access_grants
        where resource in (select 'collection:' || collection_id from removed)
        """,
        (list(collection_ids),),
    )


# Members


async def count_with(db: Connection, collection_id: str, media_ids: Sequence[str]) -> int:
    """How many members it will have once these are added."""
    rows = await db.execute(
        "select count(*) + cardinality(%s::uuid[]) as number from collection_members"
        " where collection_id = %s and media_id <> all(%s::uuid[])",
        (list(media_ids), collection_id, list(media_ids)),
    )
    row = await rows.fetchone()
    return int(row["number"]) if row else 0


async def put(
    db: Connection, collection_id: str, members: Sequence[Member], before_media_id: str
) -> None:
    """Adds members, or moves them, before another one or to the end. One that was shared stays
    so."""
    first, step = await _room(db, collection_id, members, before_media_id)
    rows = [
        {"media_id": each.media_id, "shared": each.shared, "position": first + number * step}
        for number, each in enumerate(members)
    ]
    await db.execute(
        """
        insert into collection_members as m (collection_id, media_id, position, shared)
        select %s, media_id, position, shared
        from json_to_recordset(%s::json) as n (media_id uuid, position bigint, shared boolean)
        on conflict (collection_id, media_id) do update
        set position = excluded.position, shared = m.shared or excluded.shared
        """,
        (collection_id, json.dumps(rows)),
    )


async def _room(
    db: Connection, collection_id: str, members: Sequence[Member], before_media_id: str
) -> tuple[int, int]:
    """The first position for the members, and the distance to the next."""
    for _ in range(2):
        rows = await db.execute(
            """
            with others as (
                select position, media_id from collection_members
                where collection_id = %(collection)s and media_id <> all(%(media)s::uuid[])
            ), following as (
                select position from others
                where media_id = nullif(%(before)s, '')::uuid
            )
            select (select position from following) as following,
                   (select max(position) from others
                    where position < coalesce((select position from following), 9e18::bigint)
                   ) as preceding
            """,
            {
                "collection": collection_id,
                "media": [each.media_id for each in members],
                "before": before_media_id,
            },
        )
        row = await rows.fetchone()
        assert row  # noqa: S101 - one row is always returned
        following, preceding = row["following"], row["preceding"]
        if following is None:
            return (preceding or 0) + GAP, GAP
        low = following - GAP * (len(members) + 1) if preceding is None else preceding
        step = (following - low) // (len(members) + 1)
        if step > 0:
            return low + step, step
        await _renumber(db, collection_id)
    raise AssertionError("members have no room after they were renumbered")


async def _renumber(db: Connection, collection_id: str) -> None:
    """Spreads the members, so that a thousand fit between each two."""
    await db.execute(
        """
        update collection_members m set position = n.number * %s
        from (
            select media_id, row_number() over (order by position, media_id) as number
            from collection_members where collection_id = %s
        ) n
        where m.collection_id = %s and m.media_id = n.media_id
        """,
        (GAP, collection_id, collection_id),
    )


async def take_out(db: Connection, collection_id: str, media_ids: Sequence[str]) -> int:
    done = await db.execute(
        "delete from collection_members where collection_id = %s and media_id = any(%s::uuid[])",
        (collection_id, list(media_ids)),
    )
    return done.rowcount


async def with_any(db: Connection, media_ids: Sequence[str], limit: int) -> list[str]:
    """Collections that have one of the media as a member or a cover, in the order of their ids."""
    rows = await db.execute(
        """
        select collection_id::text as collection_id from (
            select collection_id from collection_members where media_id = any(%(media)s::uuid[])
            union
            select collection_id from collections where cover_media_id = any(%(media)s::uuid[])
        ) k
        order by k.collection_id limit %(limit)s
        """,
        {"media": list(media_ids), "limit": limit},
    )
    return [row["collection_id"] async for row in rows]


@dataclass(frozen=True, slots=True)
class Changed:
    collection_id: str
    org_id: str
    project_id: str


async def put_beside(
    db: Connection, collection_ids: Sequence[str], media_ids: Sequence[str], new_id: str
) -> list[Changed]:
    """Puts a media where one of others is a member or the cover, into these collections, which are
    locked. It is shared if one of the others is. Those stay, too. Returns the collections that have
    changed."""
    rows = await db.execute(
        """
        with places as (
            select collection_id, min(position) as position, bool_or(shared) as shared
            from collection_members
            where collection_id = any(%(collections)s::uuid[])
              and media_id = any(%(media)s::uuid[])
            group by collection_id
        ), put as (
            insert into collection_members as m (collection_id, media_id, position, shared)
            select collection_id, %(new)s, position, shared from places
            on conflict (collection_id, media_id) do update set shared = true
            where excluded.shared and not m.shared
            returning collection_id
        )
        update collections k
        set cover_media_id = case when k.cover_media_id = any(%(media)s::uuid[]) then %(new)s::uuid
                                  else k.cover_media_id end,
            revision = k.revision + 1, update_time = now()
        where k.collection_id = any(%(collections)s::uuid[])
          and (k.collection_id in (select collection_id from put)
               or k.cover_media_id = any(%(media)s::uuid[]))
        returning k.collection_id::text as collection_id, k.org_id, k.project_id
        """,
        {"collections": list(collection_ids), "media": list(media_ids), "new": new_id},
    )
    return [Changed(r["collection_id"], r["org_id"], r["project_id"]) async for r in rows]


async def member_page(
    db: Connection,
    principal: Principal,
    collection_id: str,
    after: Sequence[Any] | None,
    limit: int,
) -> list[Listed]:
    """Members that the caller may see, by position and id, after the one with this position and
    id. The caller has a role on the collection, so they see those that are shared."""
    seen = scope(principal)
    later = "and (cm.position, cm.media_id) > (%s, %s::uuid)" if after else ""
    rows = await db.execute(
        f"""
        with {seen.sql}, page as materialized (
            select cm.media_id as id, cm.position
            from collection_members cm join media m on m.media_id = cm.media_id
            where cm.collection_id = %s and m.delete_time is null
              and (cm.shared or {visible("m", "media_id")}) {later}
            order by cm.position, cm.media_id limit %s
        )
        {
            media_queries.select(
                media_queries.RENDITIONS,
                role="page.position, 1",
                media="caller cross join media m",
                signer_url_key=media_queries.signer_url_key("caller"),
            )
        }
        join page on page.id = m.media_id order by page.position, m.media_id
        """.encode(),
        (*seen.params, collection_id, *(after or ()), limit),
    )
    return [
        Listed(media_queries.record(row), (row["position"], UUID(row["media_id"])))
        async for row in rows
    ]


def followed(collection_id: str, scope: Scope) -> Followed:
    """The events about a collection and its members. What happened to a media before it was shared
    stays hidden."""
    of_member = (
        "(e.subject = %s or exists (select from collection_members cm"
        " where cm.collection_id = %s and cm.media_id = e.media_id{}))"
    )
    shared = f" and cm.shared and cm.add_time <= e.time and e.minimum_role <= {Role.VIEWER:d}"
    params = (subject(collection_id), collection_id)
    return Followed(
        scope, Condition(of_member.format(""), params), Condition(of_member.format(shared), params)
    )


def followed_smart(collection_id: str, scope: Scope, selects: Sequence[Condition]) -> Followed:
    """The events about a smart collection and the media in scope that it selects."""
    about = Condition("e.subject = %s", (subject(collection_id),))
    media = " and ".join(each.sql for each in selects)
    params = (*about.params, *(value for each in selects for value in each.params))
    return Followed(scope, Condition(f"({about.sql} or ({media}))", params), about)


def subject(collection_id: str) -> str:
    """Of the events about a collection."""
    return f"collection/{collection_id}"
