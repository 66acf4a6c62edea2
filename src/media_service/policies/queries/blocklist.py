"""SQL of blocked files."""

from collections.abc import Mapping, Sequence
from typing import Any

from media_service.access.policy import Condition
from media_service.access.queries import Scope, visible
from media_service.db.transaction import Connection
from media_service.duplicates.model import BLOCK_DISTANCE
from media_service.policies.model import BlockedFile, FileHash
from media_service.sharing.resources import Resource

# The hashes of images that one statement compares. It takes some tenths of a second.
COMPARED = 50_000


def blocked_file(row: Mapping[str, Any]) -> BlockedFile:
    found = FileHash(row["perceptual"], row["hash"])
    return BlockedFile(row["scope"], found, row["note"], row["create_time"])


async def block(db: Connection, resource: Resource, sha256: bytes, note: str) -> BlockedFile:
    rows = await db.execute(
        """
        insert into blocked_files (sha256, scope, note) values (%s, %s, %s)
        on conflict (sha256, scope) do update set note = excluded.note
        returning scope, false as perceptual, sha256 as hash, note, create_time
        """,
        (sha256, str(resource), note),
    )
    (row,) = await rows.fetchall()
    return blocked_file(row)


async def block_image(
    db: Connection, resource: Resource, hashes: Sequence[bytes], note: str
) -> BlockedFile:
    """`hashes`: of an image, and of its crops if they are known."""
    rows = await db.execute(
        """
        insert into blocked_images as b (hash, scope, hashes, bands, note)
        select %(hash)s, %(scope)s, i.hashes, bands_of(tenant_of('', %(kind)s, %(id)s), i.hashes),
               %(note)s
        from (select %(hashes)s::text[]::bit(256)[] as hashes) i
        on conflict (hash, scope) do update
        set note = excluded.note,
            hashes = case when cardinality(b.hashes) > 1 then b.hashes else excluded.hashes end,
            bands = case when cardinality(b.hashes) > 1 then b.bands else excluded.bands end
        returning scope, true as perceptual, hash, note, create_time
        """,
        {
            "hash": hashes[0],
            "scope": str(resource),
            "kind": resource.kind,
            "id": resource.id,
            "hashes": as_bits(hashes),
            "note": note,
        },
    )
    (row,) = await rows.fetchall()
    return blocked_file(row)


def as_bits(hashes: Sequence[bytes]) -> list[str]:
    return [f"x{each.hex()}" for each in hashes]


async def hashes_of(db: Connection, media_id: str) -> list[bytes]:
    """The perceptual hashes of an image and of its crops; empty if it has none."""
    rows = await db.execute(
        "select f.hashes::text[] as hashes from fingerprints f join media m"
        " on m.media_id = f.media_id where f.media_id = %s and m.kind = 'IMAGE'",
        (media_id,),
    )
    row = await rows.fetchone()
    return [int(each, 2).to_bytes(32) for each in row["hashes"]] if row else []


async def unblock(db: Connection, resource: Resource, blocked: FileHash) -> None:
    table, column = "blocked_files", "sha256"
    if blocked.perceptual:
        table, column = "blocked_images", "hash"
    await db.execute(
        f"delete from {table} where {column} = %s and scope = %s".encode(),
        (blocked.value, str(resource)),
    )


async def page(
    db: Connection, resource: Resource, after: FileHash, limit: int
) -> list[BlockedFile]:
    """The files on the list of a resource, those by SHA-256 first, by hash."""
    rows = await db.execute(
        """
        select * from (
            (select scope, false as perceptual, sha256 as hash, note, create_time
             from blocked_files
             where scope = %(scope)s and not %(perceptual)s and sha256 > %(hash)s
             order by sha256 limit %(limit)s)
            union all
            (select scope, true, hash, note, create_time
             from blocked_images
             where scope = %(scope)s and (not %(perceptual)s or hash > %(hash)s)
             order by hash limit %(limit)s)
        ) b
        order by perceptual, hash limit %(limit)s
        """,
        {
            "scope": str(resource),
            "perceptual": after.perceptual,
            "hash": after.value,
            "limit": limit,
        },
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


async def screens_looks(db: Connection, org_id: str) -> bool:
    """Whether a list of blocked images applies in an organization, or outside of organizations."""
    rows = await db.execute(
        "select exists (select from blocked_images where scope in ('service:', %s)) as any",
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


async def looks_blocked(db: Connection, org_id: str, hashes: Sequence[str | None]) -> bool:
    """Whether an image, or a frame of a video, looks nearly the same as a blocked image."""
    if not any(hashes):
        return False
    rows = await db.execute(
        f"""
        with lists as materialized (
            select scope, tenant_of('', split_part(scope, ':', 1),
                                    substr(scope, strpos(scope, ':') + 1)) as tenant
            from unnest(%(scopes)s::text[]) as s (scope)
            where exists (select from blocked_images b where b.scope = s.scope)
        ),
        frames as materialized (
            select l.tenant, f.hashes[6 * n + 1:6 * n + 6] as hashes
            from lists l
            cross join (select %(hashes)s::text[]::bit(256)[] as hashes) f
            cross join lateral generate_series(0, (cardinality(f.hashes) - 1) / 6) as s (n)
        )
        select exists (
            select from frames f
            join blocked_images b on b.bands && all_neighbours_of(f.tenant, f.hashes)
            where distance_between(f.hashes, b.hashes) <= {BLOCK_DISTANCE}
        ) as any
        """.encode(),
        {
            "scopes": ["service:", *([f"organization:{org_id}"] if org_id else [])],
            "hashes": [each and f"x{each}" for each in hashes],
        },
    )
    row = await rows.fetchone()
    return row is not None and bool(row["any"])


def within(resource: Resource) -> Condition:
    """The media `m` that the list of a resource is about."""
    if resource.kind == "organization":
        return Condition("m.org_id = %s", (resource.id,))
    return Condition("true", ())


async def media_with_bytes(
    db: Connection, scope: Scope, resource: Resource, sha256: bytes, after: str, limit: int
) -> list[str]:
    """The media in scope of which a version has these bytes, by id."""
    inside = within(resource)
    rows = await db.execute(
        f"""
        with {scope.sql}
        select m.media_id::text as media_id from media m
        where m.media_id in (
            select v.media_id from blobs b join media_versions v on v.blob_id = b.blob_id
            where b.sha256 = %s and b.store = 'raw'
        )
          and m.delete_time is null and {inside.sql} and {visible("m", "media_id")}
          and m.media_id > %s
        order by m.media_id limit %s
        """.encode(),
        (*scope.params, sha256, *inside.params, after, limit),
    )
    return [row["media_id"] async for row in rows]


# The hashes of a blocked image, with those of its crops if they are known.
ASKED = """
    asked as materialized (
        select coalesce(
            (select b.hashes from blocked_images b where b.hash = %s and b.scope = %s),
            array[%s::text::bit(256)]
        ) as hashes
    )
"""


async def compared_until(db: Connection, after: str) -> str | None:
    """The last of the media that one statement compares; None if it compares all that are left."""
    rows = await db.execute(
        "select media_id::text as media_id from fingerprints where media_id > %s"
        " order by media_id offset %s limit 1",
        (after, COMPARED - 1),
    )
    row = await rows.fetchone()
    return row["media_id"] if row else None


async def media_like(
    db: Connection,
    scope: Scope,
    resource: Resource,
    hash_: bytes,
    after: str,
    until: str | None,
    limit: int,
) -> list[tuple[str, int]]:
    """The media in scope, after one and until another, that look nearly the same as an image, by
    id, with their distances. Those of an organization are found by index."""
    inside = within(resource)
    near = Condition(
        "f.media_id > %s and (%s::uuid is null or f.media_id <= %s)", (after, until, until)
    )
    if resource.kind == "organization":
        tenant = "tenant_of(%s, '', '')"
        near = Condition(
            f"f.bands && (select all_neighbours_of({tenant}, hashes)"
            f" || frame_neighbours_of({tenant}, hashes) from asked)",
            (resource.id, resource.id),
        )
    rows = await db.execute(
        f"""
        with {scope.sql}, {ASKED}, compared as materialized (
            select f.media_id, case when cardinality(f.hashes) <= 6
                   then distance_between(f.hashes, a.hashes)
                   else distance_to_image(f.hashes, a.hashes) end as distance
            from fingerprints f cross join asked a
            where {near.sql}
        )
        select m.media_id::text as media_id, c.distance
        from compared c join media m on m.media_id = c.media_id
        where c.distance <= {BLOCK_DISTANCE} and m.delete_time is null and {inside.sql}
          and m.media_id > %s and {visible("m", "media_id")}
        order by m.media_id limit %s
        """.encode(),
        (
            *scope.params,
            *(hash_, str(resource), f"x{hash_.hex()}"),
            *near.params,
            *inside.params,
            after,
            limit,
        ),
    )
    return [(row["media_id"], row["distance"]) async for row in rows]
