"""SQL of duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass

from media_service.access.lists import Key, order_sql, page_of
from media_service.access.policy import Condition
from media_service.access.queries import Scope, visible
from media_service.access.role import Role
from media_service.blobs.model import Blob
from media_service.db.transaction import Connection
from media_service.duplicates.model import MAX_DISTANCE, Decision
from media_service.media.model import Media
from media_service.media.queries import TABLE
from media_service.storage.checksums import Checksums

# The media `m` of the tenant of a media: its organization, or its owner if it has none.
OF_TENANT = """(
    m.org_id = %(org_id)s
    and (m.org_id <> '' or (m.owner_type, m.owner_id) = (%(owner_type)s, %(owner_id)s))
)"""


async def equals(db: Connection, media: Media, limit: int) -> list[Blob]:
    """Other blobs with the bytes of an original whose SHA-256 is known, of media of the same tenant
    that are in service. The oldest come first."""
    blob = media.blob
    rows = await db.execute(
        f"""
        select b.blob_id::text as blob_id, b.store, b.key, b.size_bytes, b.crc32c, b.sha256
        from blobs b
        where b.sha256 = %(sha256)s and b.store = 'raw' and b.size_bytes = %(size)s
          and b.store = %(store)s and b.blob_id <> %(blob_id)s and b.reference_count > 0
          and exists (
              select from media_versions v join media m on m.media_id = v.media_id
              where v.blob_id = b.blob_id and not v.strip_pending and m.state <> 'QUARANTINED'
                and {OF_TENANT}
          )
        order by b.blob_id limit %(limit)s
        """.encode(),
        {
            "sha256": blob.checksums.sha256,
            "size": blob.size_bytes,
            "store": blob.store,
            "blob_id": blob.blob_id,
            "org_id": media.owner.org_id,
            "owner_type": media.owner.type,
            "owner_id": media.owner.id,
            "limit": limit,
        },
    )
    return [
        Blob(
            row["blob_id"],
            row["store"],
            row["key"],
            row["size_bytes"],
            Checksums(row["crc32c"], row["sha256"]),
        )
        async for row in rows
    ]


async def set_blob(db: Connection, media: Media, blob_id: str) -> None:
    """Gives a version of a media, which is locked, another blob with the same bytes."""
    await db.execute(
        "update media_versions set blob_id = %s where media_id = %s and version = %s",
        (blob_id, media.media_id, media.version),
    )


async def record(db: Connection, media_id: str, hashes: Sequence[str | None]) -> None:
    """Records the hashes of a media, which is then compared. Those of documents are not: all pages
    of text look alike."""
    await db.execute(
        """
        insert into fingerprints (media_id, hashes, bands, hashed)
        select m.media_id, h.hashes,
               bands_of(tenant_of(m.org_id, m.owner_type, m.owner_id), h.hashes), true
        from media m cross join lateral (
            select case when m.kind in ('IMAGE', 'VIDEO') then %s::text[]::bit(256)[]
                   else '{}' end as hashes
        ) h
        where m.media_id = %s
        on conflict (media_id) do update
        set hashes = excluded.hashes, bands = excluded.bands, hashed = true, compared = false
        """,
        ([each and f"x{each}" for each in hashes], media_id),
    )


async def unhashed(db: Connection, after: str | None, limit: int) -> list[str]:
    """Media from before there were hashes, after the media `after`."""
    rows = await db.execute(
        "select media_id::text as media_id from fingerprints where not hashed"
        " and (%(after)s::uuid is null or media_id > %(after)s::uuid)"
        " order by media_id limit %(limit)s",
        {"after": after, "limit": limit},
    )
    return [row["media_id"] async for row in rows]


# The media `id` that have the same bytes as the media `asked`, with the distance null, or that look
# nearly the same. Both are of one tenant. A video is known by few frames, so its length counts.
FOUND = f"""
    asked as materialized (
        select m.media_id, m.kind, m.duration_seconds, f.hashes, b.sha256,
               tenant_of(m.org_id, m.owner_type, m.owner_id) as tenant
        from media m
        join media_versions v on v.media_id = m.media_id and v.version = m.version
        join blobs b on b.blob_id = v.blob_id
        join fingerprints f on f.media_id = m.media_id
        where m.media_id = %s
    ),
    equal_media as materialized (
        select o.media_id as id
        from asked a
        join blobs b on b.sha256 = a.sha256 and b.store = 'raw'
        join media_versions v on v.blob_id = b.blob_id
        join media o on o.media_id = v.media_id and o.version = v.version
        where o.media_id <> a.media_id
          and tenant_of(o.org_id, o.owner_type, o.owner_id) = a.tenant
        order by o.media_id limit %s
    ),
    found as materialized (
        select id, null::int as distance from equal_media
        union all
        (
            select c.media_id, c.distance
            from asked a cross join lateral (
                select f.media_id, case when cardinality(a.hashes) <= 6
                       then distance_between(f.hashes, a.hashes)
                       else distance_between_videos(f.hashes, a.hashes) end as distance
                from fingerprints f
                where f.bands && (
                    select case when cardinality(hashes) <= 6 then neighbours_of(tenant, hashes)
                           else video_neighbours_of(tenant, hashes) end
                    from asked
                )
            ) c
            join media o on o.media_id = c.media_id
            join media_versions v on v.media_id = o.media_id and v.version = o.version
            join blobs b on b.blob_id = v.blob_id
            where c.media_id <> a.media_id and c.distance <= {MAX_DISTANCE} and o.kind = a.kind
              and not coalesce(b.sha256 = a.sha256, false)
              and (o.kind <> 'VIDEO' or abs(o.duration_seconds - a.duration_seconds)
                   <= greatest(1, a.duration_seconds / 20))
            order by c.distance, c.media_id limit %s
        )
    )
"""


def undecided(one: str, other: str) -> str:
    """The condition that nobody said that two media are no duplicates."""
    return f"""not exists (
        select from duplicate_decisions n
        where n.decision = 'DIFFERENT'
          and n.media_id = least({one}, {other}) and n.other_id = greatest({one}, {other})
    )"""


async def similar(
    db: Connection, scope: Scope, media_id: str, limit: int
) -> list[tuple[str, int | None]]:
    """The media in scope that are duplicates of a media, the nearest first, with their
    distances."""
    rows = await db.execute(
        f"""
        with {scope.sql}, {FOUND}
        select o.media_id::text as media_id, f.distance
        from found f join media o on o.media_id = f.id
        where o.delete_time is null and {visible("o", "media_id")}
          and {undecided("o.media_id", "(select media_id from asked)")}
        order by f.distance nulls first, o.media_id limit %s
        """.encode(),
        (*scope.params, media_id, SEARCHED, SEARCHED, limit),
    )
    return [(row["media_id"], row["distance"]) async for row in rows]


# The media that a search reads at most. Those that the caller may not see are left out afterwards.
SEARCHED = 1000
# The pairs of one media that are recorded: with the oldest of the same bytes, and the nearest.
MOST_EQUAL, MOST_NEAR = 16, 64


async def to_compare(db: Connection, limit: int) -> list[str]:
    """Hashed media that have not been compared yet, locked against changes."""
    rows = await db.execute(
        "select f.media_id::text as media_id"
        " from fingerprints f join media m on m.media_id = f.media_id"
        " where f.hashed and not f.compared"
        " order by f.media_id limit %s for key share of m skip locked",
        (limit,),
    )
    return [row["media_id"] async for row in rows]


async def compare(db: Connection, media_id: str) -> None:
    """Records the duplicates of a media."""
    await db.execute(
        "delete from duplicates where media_id = %(id)s or other_id = %(id)s", {"id": media_id}
    )
    await db.execute(
        f"""
        with {FOUND}
        insert into duplicates (media_id, other_id, distance)
        select least(f.id, a.media_id), greatest(f.id, a.media_id), f.distance
        from found f cross join asked a
        order by 1, 2
        on conflict (media_id, other_id) do update set distance = excluded.distance
        """.encode(),
        (media_id, MOST_EQUAL, MOST_NEAR),
    )
    await db.execute("update fingerprints set compared = true where media_id = %s", (media_id,))


def linked(older: str, younger: str) -> str:
    """The conditions for the pairs `d` of which callers see the other media, too."""
    return f"{undecided(older, younger)} and o.delete_time is null and {visible('o', 'media_id')}"


# A media leads a group if it is the oldest of it: younger ones are similar to it, and it does not
# lie with all of them in the group of an older one.
LEADS = f"""
    m.delete_time is null
    and exists (
        select from duplicates d join media o on o.media_id = d.other_id
        where d.media_id = m.media_id and {linked("d.media_id", "d.other_id")}
    )
    and not exists (
        select from duplicates k join media o on o.media_id = k.media_id
        where k.other_id = m.media_id and {linked("k.media_id", "k.other_id")}
          and not exists (
              select from duplicates d join media o on o.media_id = d.other_id
              where d.media_id = m.media_id and {linked("d.media_id", "d.other_id")}
                and not exists (
                    select from duplicates e
                    where e.media_id = k.media_id and e.other_id = d.other_id
                      and {undecided("e.media_id", "e.other_id")}
                )
          )
    )
"""


@dataclass(frozen=True, slots=True)
class FoundGroup:
    leader_id: str
    others: Sequence[tuple[str, int | None]]
    keep_id: str


async def groups(
    db: Connection,
    scope: Scope,
    where: Sequence[Condition],
    keys: Sequence[Key],
    limit: int,
    most_others: int,
) -> list[FoundGroup]:
    """A page of groups in scope, in the order of their oldest media."""
    page = page_of(TABLE, scope, [*where, Condition(LEADS, ())], keys, limit)
    rows = await db.execute(
        f"""
        with {page.sql}
        select m.media_id::text as leader_id, g.others, g.distances, (
            select n.media_id::text from duplicate_decisions n
            where n.decision = 'KEEP' and n.media_id = any(g.ids || m.media_id)
              and n.other_id = any(g.ids || m.media_id)
            order by n.create_time desc limit 1
        ) as keep_id
        from page join media m on m.media_id = page.id cross join lateral (
            select array_agg(p.other_id::text order by p.place) as others,
                   array_agg(p.distance order by p.place) as distances,
                   array_agg(p.other_id) as ids
            from (
                select d.other_id, d.distance,
                       row_number() over (order by d.distance nulls first, d.other_id) as place
                from duplicates d join media o on o.media_id = d.other_id
                where d.media_id = m.media_id and {linked("d.media_id", "d.other_id")}
                order by place limit %s
            ) p
        ) g
        order by {order_sql("m", keys)}
        """.encode(),
        (*page.params, most_others),
    )
    return [
        FoundGroup(
            row["leader_id"],
            list(zip(row["others"] or (), row["distances"] or (), strict=True)),
            row["keep_id"] or "",
        )
        async for row in rows
    ]


async def decide(
    db: Connection, media_id: str, other_ids: Sequence[str], decision: Decision
) -> None:
    """Remembers a decision about a media and each of the others, instead of earlier ones."""
    await db.execute(
        """
        delete from duplicate_decisions
        where (media_id = %(id)s and other_id = any(%(others)s::uuid[]))
           or (other_id = %(id)s and media_id = any(%(others)s::uuid[]))
        """,
        {"id": media_id, "others": list(other_ids)},
    )
    one, other = "%(id)s::uuid", "o.id"
    if decision is Decision.DIFFERENT:
        one, other = f"least({one}, {other})", f"greatest({one}, {other})"
    await db.execute(
        f"insert into duplicate_decisions (media_id, other_id, decision)"
        f" select {one}, {other}, %(decision)s from unnest(%(others)s::uuid[]) as o (id)".encode(),
        {"id": media_id, "others": list(other_ids), "decision": decision},
    )


async def kept_among(db: Connection, media_ids: Sequence[str]) -> str:
    """The media that somebody decided to keep of these; empty if nobody did."""
    rows = await db.execute(
        "select media_id::text as media_id from duplicate_decisions where decision = 'KEEP'"
        " and media_id = any(%(ids)s::uuid[]) and other_id = any(%(ids)s::uuid[])"
        " order by create_time desc limit 1",
        {"ids": list(media_ids)},
    )
    row = await rows.fetchone()
    return str(row["media_id"]) if row else ""


async def copy_grants(
    db: Connection, to: str, others: Sequence[str], creator: str, highest: Role
) -> None:
    """Gives the grantees of other media the roles on this one that they had on those, but none
    above `highest`. Nobody's role gets lower, nor ends earlier."""
    await db.execute(
        """
        insert into access_grants as mine (resource, grantee, role, expire_time, created_by)
        select distinct on (g.grantee) 'media:' || %(to)s, g.grantee,
               least(g.role, %(highest)s), g.expire_time, %(creator)s
        from access_grants g
        where g.resource in (select 'media:' || o.id from unnest(%(others)s::uuid[]) as o (id))
          and g.role > 0 and (g.expire_time is null or g.expire_time > now())
        order by g.grantee, g.role desc, g.expire_time desc nulls first
        on conflict (resource, grantee) do update
        set role = excluded.role, expire_time = excluded.expire_time, create_time = now(),
            created_by = excluded.created_by
        where (mine.role, coalesce(mine.expire_time, 'infinity'))
            < (excluded.role, coalesce(excluded.expire_time, 'infinity'))
        """,
        {"to": to, "others": list(others), "creator": creator, "highest": int(highest)},
    )


async def have_grants(db: Connection, media_ids: Sequence[str]) -> bool:
    rows = await db.execute(
        "select from access_grants g"
        " where g.resource in (select 'media:' || o.id from unnest(%s::uuid[]) as o (id)) limit 1",
        (list(media_ids),),
    )
    return rows.rowcount == 1
