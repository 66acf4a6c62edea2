"""SQL of media and renditions."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from media_service.access.lists import (
    Key,
    Table,
    order_sql,
    page_of,
    page_of_much,
    params_of,
    some_of,
)
from media_service.access.owner import Owner
from media_service.access.policy import Condition
from media_service.access.principal import LINK, Principal
from media_service.access.queries import (
    CALLER,
    CALLERS,
    CallersQuery,
    Scope,
    caller_params,
    collection_keys,
    media_keys,
    readable_by_link,
    role,
    visible,
)
from media_service.access.queries import (
    service_role as service_role_sql,
)
from media_service.access.role import Role
from media_service.blobs.model import PUBLIC, Blob
from media_service.codecs.inspection import (
    Info,
    Inspection,
    info_from_json,
    private_info_from_json,
    to_json,
)
from media_service.db.database import json_bytes
from media_service.db.due_rows import Due
from media_service.db.transaction import Connection
from media_service.errors import Fault
from media_service.media.content import Use
from media_service.media.model import (
    Attributes,
    Kind,
    Listed,
    Media,
    MediaState,
    NewMedia,
    NewRendition,
    Placeholder,
    Rendition,
    Scan,
    ScanState,
    Total,
    Visibility,
)
from media_service.storage.checksums import Checksums

RENDITIONS = """
    (
        select json_agg(
            json_build_object(
                'name', r.name, 'content_type', r.content_type, 'time', r.create_time,
                'blob_id', rb.blob_id, 'store', rb.store, 'key', rb.key,
                'size', rb.size_bytes, 'crc32c', rb.crc32c,
                'sha256', encode(rb.sha256, 'hex'), 'pipeline', r.pipeline,
                'version', r.version, 'width', r.width, 'height', r.height
            )
            order by r.name
        )
        from renditions r
        join blobs rb on rb.blob_id = r.blob_id
        where r.media_id = m.media_id
    )
"""


def select(
    renditions: str,
    role: str = "0",
    media: str = "media m",
    signer_url_key: str = "0",
    version: str = "m.version",
    more: str = "",
) -> str:
    """`signer_url_key`: see `signer_url_key`. `more`: columns that replace those before them."""
    return f"""
        select m.*, m.media_id::text as media_id, b.blob_id::text as blob_id, b.store, b.key,
               b.size_bytes as blob_size, b.crc32c, b.sha256, v.content_type as uploaded_type,
               v.scan_state, v.scan_held, v.scan_reason, v.scan_threat, v.scan_engine, v.scan_time,
               v.strip_pending, v.stripped, v.create_time as version_time,
               v.filename as version_filename, v.restored_from,
               {renditions} as renditions, {signer_url_key} as signer_url_key, {role} as role{more}
        from {media}
        join media_versions v on v.media_id = m.media_id and v.version = {version}
        join blobs b on b.blob_id = v.blob_id
    """


def erased_signer(name: str) -> str:
    """What stands for an erased caller in `signed_url_keys`."""
    return f"'sha256:' || encode(sha256(convert_to({name}, 'UTF8')), 'hex')"


def signer_url_key(caller: str) -> str:
    """The key that a caller's signed URLs name."""
    principal = f"{caller}.principal"
    return (
        "coalesce((select max(k.url_key) from signed_url_keys k"
        f" where k.principal in ({principal}, {erased_signer(principal)})), 0)"
    )


SELECT = select(RENDITIONS)
# In pages. By whether they are bare.
LISTED = {
    bare: select(
        "null" if bare else RENDITIONS,
        media="caller cross join media m",
        signer_url_key=signer_url_key("caller"),
    )
    for bare in (False, True)
}

KEYS = media_keys("m", "media_id")
ROLE = role("m", KEYS)
TABLE = Table("media", "m", "media_id", "media_id")
# The number of media up to which totals are exact, and how much of the table an estimate reads.
MOST_COUNTED, MOST_SORTED, SAMPLED_PAGES = 10_000, 10_000, 1_000
# Orders with an index for each organization, not for each project. Up to `MOST_SORTED` media, it is
# faster to sort those that the caller sees.
ORDERS_OF_ORGANIZATIONS = frozenset({"filename", "title", "rating"})


def asked_for(renditions: str, role: str) -> CallersQuery:
    """The media that callers ask for, each with the role of its caller."""
    query = select(
        renditions,
        f"c.position, {role}",
        f"{CALLERS} join media m on m.media_id = c.id",
        signer_url_key("c"),
    )
    return CallersQuery(query)


# By whether they are bare, and whether a share link is among the callers.
ASKED = {
    (bare, links): asked_for(
        "null" if bare else RENDITIONS, readable_by_link(ROLE) if links else ROLE
    )
    for bare in (False, True)
    for links in (False, True)
}


def record(row: Mapping[str, Any]) -> Media:
    fault = None
    if row["error_reason"]:
        fault = Fault(row["error_reason"], row["error_message"], row["error_metadata"] or {})
    return Media(
        media_id=row["media_id"],
        owner=Owner(row["owner_type"], row["owner_id"], row["org_id"]),
        state=MediaState(row["state"]),
        kind=Kind(row["kind"]),
        content_type=row["content_type"],
        uploaded_type=row["uploaded_type"],
        size_bytes=row["size_bytes"],
        version=row["version"],
        revision=row["revision"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        blob=Blob(
            row["blob_id"],
            row["store"],
            row["key"],
            row["blob_size"],
            Checksums(row["crc32c"], row["sha256"]),
        ),
        fault=fault,
        project_id=row["project_id"],
        filename=row["filename"],
        original_filename=row["original_filename"],
        title=row["title"],
        description=row["description"],
        tags=tuple(row["tags"]),
        labels=row["labels"],
        capture_time=row["capture_time"],
        expire_time=row["expire_time"],
        rating=row["rating"],
        metadata=row["metadata"],
        ready_time=row["ready_time"],
        blurhash=row["blurhash"],
        dominant_color=row["dominant_color"],
        view_count=row["view_count"],
        download_count=row["download_count"],
        info=info_from_json(row["info"], row["kind"]) if row["info"] is not None else None,
        private_info=private_info_from_json(row["private_info"] or {}),
        delete_time=row["delete_time"],
        purge_time=row["purge_time"],
        visibility=Visibility(row["visibility"]),
        renditions=renditions_from(row["renditions"] or ()),
        renditions_revision=row["renditions_revision"],
        scan=Scan(
            ScanState(row["scan_state"]),
            row["scan_held"],
            row["scan_reason"],
            row["scan_threat"],
            row["scan_engine"],
            row["scan_time"],
        ),
        url_key=row["url_key"],
        signer_url_key=row["signer_url_key"],
        strip_pending=row["strip_pending"],
        stripped=row["stripped"],
        refused=row["refused"],
        role=Role(row["role"]),
        current=row.get("current", True),
        latest_version=row["latest_version"],
        version_time=row["version_time"],
        version_filename=row["version_filename"],
        restored_from=row["restored_from"] or 0,
    )


def renditions_from(found: Sequence[Mapping[str, Any]]) -> tuple[Rendition, ...]:
    """Converts the JSON of `RENDITIONS`."""
    return tuple(map(rendition, found))


def rendition(found: Mapping[str, Any]) -> Rendition:
    sha256 = bytes.fromhex(found["sha256"]) if found["sha256"] else None
    return Rendition(
        found["name"],
        found["content_type"],
        Blob(
            found["blob_id"],
            found["store"],
            found["key"],
            found["size"],
            Checksums(found["crc32c"], sha256),
        ),
        datetime.fromisoformat(found["time"]),
        found["pipeline"],
        found["version"],
        found["width"],
        found["height"],
    )


async def get(db: Connection, media_id: str, principal: Principal | None = None) -> Media | None:
    """Returns a media, with the role of the caller."""
    if principal is None:
        return (await get_many(db, [media_id])).get(media_id)
    (media,) = await get_asked(db, [(media_id, principal)])
    return media


async def get_asked(
    db: Connection, asked: Sequence[tuple[str, Principal | None]], *, bare: bool = False
) -> list[Media | None]:
    """Returns the media that each caller asks for, with the caller's role, or of nobody. With
    `bare`, leaves out their renditions."""
    if not asked:
        return []
    links = any(principal and principal.type == LINK for _, principal in asked)
    rows = await db.execute(*ASKED[bare, links].of(asked))
    found = {row["position"]: record(row) for row in await rows.fetchall()}
    return [found.get(position) for position in range(1, len(asked) + 1)]


async def service_role(db: Connection, principal: Principal) -> Role:
    """The caller's role on the installation."""
    query = f"select coalesce({service_role_sql('c')}, 0) as role from {CALLER}"
    row = await (await db.execute(query.encode(), caller_params(principal))).fetchone()
    return Role(row["role"]) if row else Role.NONE


async def get_many(db: Connection, media_ids: Sequence[str]) -> dict[str, Media]:
    """Returns the media that exist, by id."""
    query = SELECT + "where m.media_id = any(%s::uuid[])"
    rows = await db.execute(query.encode(), (list(media_ids),))
    return {row["media_id"]: record(row) async for row in rows}


async def renditions_of(db: Connection, media_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Returns the `renditions_revision` and the JSON of the renditions of media that exist."""
    query = f"""
        select m.media_id::text as media_id, m.renditions_revision,
               coalesce({RENDITIONS}, '[]')::text as renditions
        from media m where m.media_id = any(%s::uuid[])
    """
    rows = await db.execute(query.encode(), (list(media_ids),))
    return {row["media_id"]: (row["renditions_revision"], row["renditions"]) async for row in rows}


async def lock(db: Connection, media_id: str, principal: Principal | None = None) -> Media | None:
    """Like `get`, but also locks the media and its renditions until the transaction ends."""
    # A separate statement takes the lock. A single one that waits would see the media after the
    # change it waited for, but the renditions before that change.
    await db.execute("select from media where media_id = %s for update", (media_id,))
    return await get(db, media_id, principal)


async def by_public_key(db: Connection, keys: Sequence[str]) -> dict[str, Media]:
    """Returns the media of the renditions that have these keys in the public store, by key."""
    having = (
        "where m.media_id in (select r.media_id from blobs p"
        " join renditions r on r.blob_id = p.blob_id where p.key = any(%s) and p.store = 'public')"
    )
    rows = await db.execute(SELECT + having, (list(keys),))
    found = [record(row) async for row in rows]
    return {
        r.blob.key: media for media in found for r in media.renditions if r.blob.store == PUBLIC
    }


async def page(
    db: Connection,
    scope: Scope,
    where: Sequence[Condition],
    keys: Sequence[Key],
    limit: int,
    after: Sequence[Condition] = (),
    *,
    bare: bool = False,
) -> list[Listed]:
    """Returns at most `limit` media in scope that meet all conditions. `after`: those for where the
    page begins. With `bare`, leaves out their renditions."""
    read = page_of
    if keys[0].name in ORDERS_OF_ORGANIZATIONS and await are_many(db, scope, where):
        read = page_of_much
    page = read(TABLE, scope, [*where, *after], keys, limit)
    order_by = order_sql("m", keys)
    query = f"with {page.sql} {LISTED[bare]} join page on page.id = m.media_id order by {order_by}"
    rows = await db.execute(query.encode(), page.params)
    return [Listed(record(row), tuple(row[key.name] for key in keys)) async for row in rows]


async def smart_filters(
    db: Connection, principal: Principal, collection_ids: Sequence[str]
) -> dict[str, str]:
    """The filters of the smart ones among these collections on which the caller has a role."""
    query = f"""
        select k.collection_id::text as id, k.filter from {CALLER} cross join collections k
        where k.collection_id = any(%s::uuid[]) and k.filter <> ''
          and {role("k", collection_keys("k"))} > 0
    """
    rows = await db.execute(query.encode(), (*caller_params(principal), list(collection_ids)))
    return {row["id"]: row["filter"] async for row in rows}


async def are_many(db: Connection, scope: Scope, where: Sequence[Condition]) -> bool:
    """Whether more media meet the conditions than are sorted for a page."""
    some = some_of(TABLE, scope, where, MOST_SORTED + 1)
    query = f"with {some.sql} select count(*) as number from page"
    return await number(db, query, some.params) > MOST_SORTED


async def count(db: Connection, scope: Scope, where: Sequence[Condition]) -> Total:
    """The number of media in scope that meet all conditions: exact up to `MOST_COUNTED`. Of more,
    it is estimated from some pages of the table, the same ones each time."""
    some = some_of(TABLE, scope, where, MOST_COUNTED + 1)
    query = f"with {some.sql} select count(*) as number from page"
    counted = await number(db, query, some.params)
    if counted <= MOST_COUNTED:
        return Total(counted)
    query = "select ceil(pg_relation_size('media') / 8192.0)::bigint as number"
    percent = 100 * min(1, SAMPLED_PAGES / await number(db, query, ()))
    conditions = [visible("m", "media_id"), *(each.sql for each in where)]
    query = f"""
        with {scope.sql}
        select count(*) as number from media m tablesample system (%s) repeatable (0)
        where {" and ".join(conditions)}
    """
    sampled = await number(db, query, (*scope.params, percent, *params_of(where)))
    return Total(max(counted, round(sampled * 100 / percent)), approximate=percent < 100)


async def number(db: Connection, query: str, params: Sequence[Any]) -> int:
    row = await (await db.execute(query.encode(), params)).fetchone()
    assert row  # noqa: S101 - it counts
    return int(row["number"])


def attributes_to_json(stated: Attributes) -> dict[str, Any]:
    """Converts attributes to JSON for `json_to_recordset`."""
    return {
        "title": stated.title,
        "description": stated.description,
        "tags": stated.tags,
        "labels": dict(stated.labels),
        "visibility": stated.visibility,
        "capture_time": json_time(stated.capture_time),
        "expire_time": json_time(stated.expire_time),
        "rating": stated.rating,
        "metadata": dict(stated.metadata),
    }


def attributes_from_json(stored: Mapping[str, Any]) -> Attributes:
    """Reverses `attributes_to_json`. The JSON is empty for uploads of earlier releases, which did
    not state a rating and metadata either."""
    if not stored:
        return Attributes()
    return Attributes(
        title=stored["title"],
        description=stored["description"],
        tags=tuple(stored["tags"]),
        labels=stored["labels"],
        visibility=Visibility(stored["visibility"]),
        capture_time=time_from_json(stored["capture_time"]),
        expire_time=time_from_json(stored["expire_time"]),
        rating=stored.get("rating", 0),
        metadata=stored.get("metadata", {}),
    )


def json_time(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def time_from_json(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def insert_sql(new_blobs: str) -> bytes:
    """Adds media with their first versions. `new_blobs`: a common table expression that adds their
    blobs, or nothing."""
    return f"""
        with added as (
            select * from json_to_recordset(%s::json) as added (
                media_id uuid, org_id text, owner_type text, owner_id text, kind text,
                content_type text, filename text, project_id text, title text, description text,
                tags text[], labels jsonb, visibility text, capture_time timestamptz,
                expire_time timestamptz, rating smallint, metadata jsonb, blob_id uuid,
                store text, key text, size bigint, crc32c bigint, sha256 bytea, scan_state text,
                scan_held boolean, strip_pending boolean, stripped boolean
            )
        ), {new_blobs} new_media as (
            insert into media (media_id, org_id, owner_type, owner_id, state, kind, content_type,
                               size_bytes, filename, original_filename, project_id, title,
                               description, tags, labels, visibility, capture_time, expire_time,
                               rating, metadata, event_sequence)
            select media_id, org_id, owner_type, owner_id, 'PENDING', kind, content_type, size,
                   filename, filename, project_id, title, description, tags, labels, visibility,
                   capture_time, expire_time, rating, metadata, 1
            from added
        )
        insert into media_versions (media_id, version, blob_id, content_type, scan_state, scan_held,
                                    strip_pending, stripped)
        select media_id, 1, blob_id, content_type, scan_state, scan_held, strip_pending, stripped
        from added
    """.encode()


INSERT = insert_sql("""
    new_blobs as (
        insert into blobs (blob_id, store, key, size_bytes, crc32c, sha256)
        select blob_id, store, key, size, crc32c, sha256 from added
    ),
""")
# With blobs that exist.
INSERT_SHARING = insert_sql("")


async def insert(db: Connection, added: Sequence[NewMedia], *, shared: bool = False) -> None:
    """Adds media in one statement, each with the blob of its first version. `shared`: the blobs
    exist, and the caller has counted the references."""
    rows = [
        {
            "media_id": media.media_id,
            "org_id": media.owner.org_id,
            "owner_type": media.owner.type,
            "owner_id": media.owner.id,
            "kind": media.kind,
            "content_type": media.content_type,
            "filename": media.filename,
            "project_id": media.project_id,
            **attributes_to_json(media.attributes),
            "blob_id": media.blob.blob_id,
            "store": media.blob.store,
            "key": media.blob.key,
            "size": media.blob.size_bytes,
            "crc32c": media.blob.checksums.crc32c,
            "sha256": json_bytes(media.blob.checksums.sha256),
            "scan_state": media.scan.state,
            "scan_held": media.scan.held,
            "strip_pending": media.strip_pending,
            "stripped": media.stripped,
        }
        for media in added
    ]
    await db.execute(INSERT_SHARING if shared else INSERT, (json.dumps(rows),))


async def set_fields(db: Connection, media_id: str, values: Mapping[str, Any]) -> None:
    """Changes fields that callers can set."""
    columns = SQL(", ").join(SQL("{} = %s").format(SQL(name)) for name in values)
    await db.execute(
        SQL(
            "update media set {}, revision = revision + 1, update_time = now() where media_id = %s"
        ).format(columns),
        (*(column(value) for value in values.values()), media_id),
    )


def column(value: Any) -> Any:
    """Converts the value of a field for its column."""
    if isinstance(value, Mapping):
        return Jsonb(dict(value))
    return list(value) if isinstance(value, tuple) else value


async def move(db: Connection, media_id: str, owner: Owner, project_id: str) -> None:
    """Gives a media, which is locked, to an owner and a project, with its uploads and its jobs."""
    # The change of the media locks its streams and its accounts: after jobs, as everywhere.
    for table, column in (("jobs", "subject_id"), ("uploads", "media_id"), ("media", "media_id")):
        await db.execute(
            f"update {table} set owner_type = %s, owner_id = %s, project_id = %s"
            f" where {column} = %s and owner_type is not null".encode(),
            (owner.type, owner.id, project_id, media_id),
        )
    await touch(db, media_id)


async def set_deleted(
    db: Connection,
    media_id: str,
    purge_after: timedelta | None,
    at_most: timedelta | None = None,
) -> None:
    """Soft-deletes a media, which is purged later: after `purge_after` unless a policy says
    otherwise, and after `at_most` in any case. None undeletes it, and clears an `expire_time` that
    has passed."""
    await db.execute(
        """
        update media
        set delete_time = case when %(after)s::interval is null then null else now() end,
            purge_time = now() + case when %(after)s::interval is not null then
                least(kept_deleted(org_id, project_id, %(after)s), %(at_most)s::interval) end,
            expire_time = case when %(after)s::interval is null and expire_time <= now() then null
                               else expire_time end,
            revision = revision + 1, update_time = now()
        where media_id = %(media_id)s
        """,
        {"after": purge_after, "at_most": at_most, "media_id": media_id},
    )


async def set_state(
    db: Connection, media_id: str, state: MediaState, fault: Fault | None = None
) -> None:
    """Changes the state, unless the media is in quarantine."""
    await db.execute(
        "update media set state = %s, error_reason = %s, error_message = %s,"
        " error_metadata = %s, revision = revision + 1, update_time = now()"
        " where media_id = %s and state <> 'QUARANTINED'",
        (
            state,
            fault.reason if fault else None,
            fault.message if fault else None,
            Jsonb(fault.metadata) if fault else None,
            media_id,
        ),
    )


async def refuse(db: Connection, media_id: str, fault: Fault) -> None:
    """Sets a media to FAILED. Its content is not served until an inspection accepts it. Does
    nothing to a media in quarantine."""
    await set_state(db, media_id, MediaState.FAILED, fault)
    await db.execute(
        "update media set refused = true where media_id = %s and state <> 'QUARANTINED'",
        (media_id,),
    )


# The time of capture of a media that gets other bytes: what a caller has set stays, and what
# inspection has found in the bytes before follows the new ones.
FOLLOWED_TIME = (
    "case when {0}.capture_time is null or {0}.capture_time = {0}.found_capture_time"
    " then {1} else {0}.capture_time end"
)


async def set_info(
    db: Connection,
    media_id: str,
    kind: Kind,
    found: Inspection[Info],
    placeholder: Placeholder,
) -> None:
    """Records the results of inspection, with the kind and the type that it found, and sets the
    media to READY, unless it is in quarantine. Keeps a `capture_time` set by a caller, and a
    placeholder from a rendition."""
    await db.execute(
        f"""
        update media
        set state = 'READY', error_reason = null, error_message = null, refused = false, kind = %s,
            content_type = %s, info = %s, private_info = %s,
            capture_time = {FOLLOWED_TIME.format("media", "%s")}, found_capture_time = %s,
            ready_time = coalesce(ready_time, now()),
            blurhash = coalesce(nullif(%s, ''), blurhash),
            dominant_color = coalesce(nullif(%s, ''), dominant_color),
            revision = revision + 1, update_time = now()
        where media_id = %s and state <> 'QUARANTINED'
        """.encode(),
        (
            kind,
            found.content_type,
            Jsonb(to_json(found.info)),
            Jsonb(to_json(found.private_info)),
            found.capture_time,
            found.capture_time,
            placeholder.blurhash,
            placeholder.dominant_color,
            media_id,
        ),
    )


async def set_placeholder(db: Connection, media_id: str, placeholder: Placeholder) -> None:
    await db.execute(
        "update media set blurhash = %s, dominant_color = %s where media_id = %s",
        (placeholder.blurhash, placeholder.dominant_color, media_id),
    )


async def set_sha256(db: Connection, media: Media, sha256: bytes) -> None:
    """Records the SHA-256 of a media's original."""
    await touch(db, media.media_id)  # first: purges, too, lock the media before its blobs
    await db.execute(
        "update blobs set sha256 = %s where blob_id = %s", (sha256, media.blob.blob_id)
    )


async def replace_original(db: Connection, media: Media, blob_id: str, size: int) -> None:
    """Gives the current version the bytes without metadata, so that it can be read."""
    await db.execute(
        "update media_versions set blob_id = %s, strip_pending = false, stripped = true"
        " where media_id = %s and version = %s",
        (blob_id, media.media_id, media.version),
    )
    await db.execute(
        "update media set size_bytes = %s, revision = revision + 1, update_time = now()"
        " where media_id = %s",
        (size, media.media_id),
    )


async def touch(db: Connection, media_id: str) -> None:
    """Changes the etag. Call it after a visible change in another table."""
    await db.execute(
        "update media set revision = revision + 1, update_time = now() where media_id = %s",
        (media_id,),
    )


async def change_url_key(db: Connection, media_id: str) -> None:
    """Ends the signed URLs of a media."""
    await db.execute("update media set url_key = url_key + 1 where media_id = %s", (media_id,))


async def change_signer_key(db: Connection, principal: str) -> None:
    """Ends the URLs that a caller has signed."""
    await db.execute(
        f"""
        insert into signed_url_keys as k (principal, url_key)
        select c.principal, {signer_url_key("c")} + 1 from (select %s::text as principal) c
        on conflict (principal) do update set url_key = k.url_key + 1
        """.encode(),
        (principal,),
    )


async def hash_signer(db: Connection, principal: str) -> int:
    """Replaces the name of a caller who has revoked URLs by a hash, until those have expired: a
    URL works for at most seven days. Returns the number of rows."""
    rows = await db.execute(
        f"""
        with named as (delete from signed_url_keys where principal = %(name)s returning url_key)
        insert into signed_url_keys (principal, url_key, expire_time)
        select {erased_signer("%(name)s::text")}, url_key, now() + interval '7 days' from named
        on conflict (principal) do update
        set url_key = excluded.url_key, expire_time = excluded.expire_time
        """.encode(),
        {"name": principal},
    )
    return rows.rowcount


async def remove_erased_signers(db: Connection, limit: int) -> int:
    rows = await db.execute(
        """
        delete from signed_url_keys where principal in (
            select principal from signed_url_keys where expire_time < now()
            limit %s for update skip locked
        )
        """,
        (limit,),
    )
    return rows.rowcount


async def put_rendition(db: Connection, media_id: str, new: NewRendition, blob_id: str) -> None:
    """Adds a rendition, or replaces the one with the same name."""
    await db.execute(
        """
        insert into renditions (media_id, name, blob_id, content_type, pipeline, version, width,
                                height)
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        on conflict (media_id, name) do update
        set blob_id = excluded.blob_id, content_type = excluded.content_type, create_time = now(),
            pipeline = excluded.pipeline, version = excluded.version, width = excluded.width,
            height = excluded.height
        """,
        (
            media_id,
            new.name,
            blob_id,
            new.content_type,
            new.pipeline,
            new.version,
            new.width,
            new.height,
        ),
    )


async def remove_rendition(db: Connection, media_id: str, name: str) -> None:
    await db.execute("delete from renditions where media_id = %s and name = %s", (media_id, name))


async def move_rendition(db: Connection, media_id: str, rendition: Rendition, blob_id: str) -> None:
    """Changes the blob of a rendition."""
    await db.execute(
        "update renditions set blob_id = %s where media_id = %s and name = %s and blob_id = %s",
        (blob_id, media_id, rendition.name, rendition.blob.blob_id),
    )


async def remove(db: Connection, media_id: str) -> None:
    """Removes a media that no longer refers to blobs."""
    await db.execute("delete from media where media_id = %s", (media_id,))


async def add_usage(db: Connection, counts: Mapping[str, Mapping[Use, int]]) -> set[str]:
    """Adds to the counters of media, without a change of their etags.

    Returns the media that are done: those that were counted, and those that do not exist. Media
    that are locked are left out: waiting for several locks could end in a deadlock.
    """
    rows = await db.execute(
        """
        with counts as (
            select * from unnest(%s::uuid[], %s::bigint[], %s::bigint[])
            as c (media_id, views, downloads)
        ), unlocked as (
            select m.media_id from media m join counts c on c.media_id = m.media_id
            for no key update of m skip locked
        ), counted as (
            update media m
            set view_count = m.view_count + c.views,
                download_count = m.download_count + c.downloads
            from counts c join unlocked u on u.media_id = c.media_id
            where m.media_id = c.media_id
            returning m.media_id
        )
        select media_id::text as media_id from counted
        union all
        select media_id::text from counts c
        where not exists (select from media m where m.media_id = c.media_id)
        """,
        (
            list(counts),
            [count.get(Use.VIEW, 0) for count in counts.values()],
            [count.get(Use.DOWNLOAD, 0) for count in counts.values()],
        ),
    )
    return {row["media_id"] async for row in rows}


TO_EXPIRE = Due(
    "media", "media_id", "expire_time", "expire_time is not null and delete_time is null"
)
TO_PURGE = Due("media", "media_id", "purge_time", "purge_time is not null")


async def lock_for_purge(db: Connection, media_id: str) -> bool:
    """Locks a media whose `purge_time` has passed. Returns False if it is not due any more, or if
    it is locked."""
    rows = await db.execute(
        "select from media where media_id = %s and purge_time <= now() for update skip locked",
        (media_id,),
    )
    return rows.rowcount == 1
