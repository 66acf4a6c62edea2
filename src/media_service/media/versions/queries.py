"""SQL of the versions of media.

The row of the media has the state and the results of inspection of its current version; a version
that is not current has them in its own row. `promote` moves them.
"""

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from media_service.codecs.inspection import Info, Inspection, to_json
from media_service.db.transaction import Connection
from media_service.errors import Fault
from media_service.media import queries
from media_service.media.model import (
    Kind,
    Media,
    MediaState,
    NewMedia,
    Placeholder,
    Rendition,
)
from media_service.media.queries import FOLLOWED_TIME

RENDITION = "name, blob_id, content_type, create_time, pipeline, version, width, height"
# Of a version: those that the address of the media still serves, and those that were kept when
# others replaced them.
RENDITIONS = queries.RENDITIONS.replace(
    "from renditions r",
    f"""
    from (
        select media_id, {RENDITION} from renditions
        union all
        select media_id, {RENDITION} from version_renditions
    ) r
    """,
).replace(
    "where r.media_id = m.media_id", "where r.media_id = m.media_id and r.version = v.version"
)
# The columns that differ between versions: of the media, and of a version that is not current.
OTHERS = {
    "state": "v.state",
    "kind": "v.kind",
    "content_type": "coalesce(v.found_type, v.content_type)",
    "error_reason": "v.error_reason",
    "error_message": "v.error_message",
    "error_metadata": "v.error_metadata",
    "refused": "v.refused",
    "info": "v.info",
    "private_info": "v.private_info",
    "found_capture_time": "v.found_capture_time",
    "blurhash": "v.blurhash",
    "dominant_color": "v.dominant_color",
}
SHOWN = "".join(
    f", case when v.state is null then m.{name} else {other} end as {name}"
    for name, other in OTHERS.items()
)
MORE = f", v.version, b.size_bytes as size_bytes, v.state is null as current{SHOWN}"


async def get(db: Connection, media_id: str, version: int) -> Media | None:
    """Returns a media as this version shows it. 0: the current one."""
    if not version:
        return await queries.get(db, media_id)
    query = queries.select(RENDITIONS, version="%s", more=MORE) + "where m.media_id = %s"
    rows = await db.execute(query.encode(), (version, media_id))
    row = await rows.fetchone()
    return queries.record(row) if row else None


async def lock(db: Connection, media_id: str, version: int) -> Media | None:
    """Like `get`, but also locks the media and all of its versions until the transaction ends."""
    await db.execute("select from media where media_id = %s for update", (media_id,))
    return await get(db, media_id, version)


async def page(db: Connection, media_id: str, before: int, limit: int) -> list[Media]:
    """Versions of a media, newest first, with lower numbers than `before`."""
    query = queries.select(
        "null", media="(select * from media where media_id = %s) m", version="v.version", more=MORE
    )
    rows = await db.execute(
        f"{query} where v.version < %s order by v.version desc limit %s".encode(),
        (media_id, before, limit),
    )
    return [queries.record(row) async for row in rows]


async def add(db: Connection, new: NewMedia, restored_from: int | None = None) -> int:
    """Adds a version to a media, which is locked, and returns its number. The caller adds the
    reference to the blob."""
    rows = await db.execute(
        """
        with changed as (
            update media
            set latest_version = latest_version + 1, other_bytes = other_bytes + %(size)s,
                revision = revision + 1, update_time = now()
            where media_id = %(media_id)s
            returning latest_version
        )
        insert into media_versions (media_id, version, blob_id, content_type, scan_state, scan_held,
                                    strip_pending, stripped, filename, restored_from, state, kind)
        select %(media_id)s, latest_version, %(blob_id)s, %(content_type)s, %(scan_state)s,
               %(scan_held)s, %(strip_pending)s, %(stripped)s, %(filename)s, %(restored_from)s,
               'PENDING', %(kind)s
        from changed
        returning version
        """,
        {
            "media_id": new.media_id,
            "size": new.blob.size_bytes,
            "blob_id": new.blob.blob_id,
            "content_type": new.content_type,
            "scan_state": new.scan.state,
            "scan_held": new.scan.held,
            "strip_pending": new.strip_pending,
            "stripped": new.stripped,
            "filename": new.filename,
            "restored_from": restored_from,
            "kind": new.kind,
        },
    )
    (row,) = await rows.fetchall()
    return int(row["version"])


async def set_state(
    db: Connection, media: Media, state: MediaState, fault: Fault | None = None
) -> None:
    """Changes the state of the version that a media shows, unless it is in quarantine. The media is
    locked."""
    if media.current:
        await queries.set_state(db, media.media_id, state, fault)
        return
    await db.execute(
        "update media_versions set state = %s, error_reason = %s, error_message = %s,"
        " error_metadata = %s where media_id = %s and version = %s and state <> 'QUARANTINED'",
        (
            state,
            fault.reason if fault else None,
            fault.message if fault else None,
            Jsonb(dict(fault.metadata)) if fault else None,
            media.media_id,
            media.version,
        ),
    )
    await queries.touch(db, media.media_id)


async def refuse(db: Connection, media: Media, fault: Fault) -> None:
    """Sets a version to FAILED. Its content is not served."""
    if media.current:
        await queries.refuse(db, media.media_id, fault)
        return
    await set_state(db, media, MediaState.FAILED, fault)
    await db.execute(
        "update media_versions set refused = true where media_id = %s and version = %s",
        (media.media_id, media.version),
    )


async def replace_original(db: Connection, media: Media, blob_id: str, size: int) -> None:
    """Gives the version that a media shows the bytes without metadata, so that it can be read."""
    if media.current:
        await queries.replace_original(db, media, blob_id, size)
        return
    await db.execute(
        "update media_versions set blob_id = %s, strip_pending = false, stripped = true"
        " where media_id = %s and version = %s",
        (blob_id, media.media_id, media.version),
    )
    await db.execute(
        "update media set other_bytes = other_bytes + %s where media_id = %s",
        (size - media.blob.size_bytes, media.media_id),
    )
    await queries.touch(db, media.media_id)


async def set_info(
    db: Connection,
    media: Media,
    kind: Kind,
    found: Inspection[Info],
    placeholder: Placeholder,
) -> None:
    """Records what inspection found in a version that is not current, and sets it to READY."""
    await db.execute(
        "update media_versions set state = 'READY', error_reason = null, error_message = null,"
        " error_metadata = null, refused = false, kind = %s, found_type = %s, info = %s,"
        " private_info = %s, found_capture_time = %s, blurhash = %s, dominant_color = %s"
        " where media_id = %s and version = %s and state <> 'QUARANTINED'",
        (
            kind,
            found.content_type,
            Jsonb(to_json(found.info)),
            Jsonb(to_json(found.private_info)),
            found.capture_time,
            placeholder.blurhash,
            placeholder.dominant_color,
            media.media_id,
            media.version,
        ),
    )
    await queries.touch(db, media.media_id)


async def promote(db: Connection, media_id: str, version: int) -> None:
    """Makes a version that is READY the current one. The media, which is locked, keeps what callers
    have set."""
    # The one that was current.
    kept = ", ".join(f"{name} = m.{name}" for name in OTHERS if name != "content_type")
    await db.execute(
        f"""
        update media_versions v set {kept}, found_type = m.content_type, replace_time = now()
        from media m
        where m.media_id = %s and v.media_id = m.media_id and v.version = m.version
        """.encode(),
        (media_id,),
    )
    taken = ", ".join(f"{name} = {other}" for name, other in OTHERS.items())
    await db.execute(
        f"""
        update media m
        set version = v.version, {taken}, size_bytes = b.size_bytes,
            other_bytes = m.other_bytes + m.size_bytes - b.size_bytes,
            ready_time = coalesce(m.ready_time, now()),
            capture_time = {FOLLOWED_TIME.format("m", "v.found_capture_time")},
            revision = m.revision + 1, update_time = now()
        from media_versions v join blobs b on b.blob_id = v.blob_id
        where m.media_id = %s and v.media_id = m.media_id and v.version = %s
        """.encode(),
        (media_id, version),
    )
    await db.execute(
        "update media_versions set state = null, replace_time = null, error_reason = null,"
        " error_message = null, error_metadata = null, info = null, private_info = null,"
        " found_capture_time = null, refused = false"
        " where media_id = %s and version = %s",
        (media_id, version),
    )


async def keep_rendition(db: Connection, media_id: str, rendition: Rendition) -> bool:
    """Takes a rendition from the address of its media, and keeps it and its reference to the blob
    with its version. Returns False if that version was deleted. Raises FailedPrecondition
    (QUOTA_EXCEEDED)."""
    # In this order, so that a quota that has room before has room afterwards.
    rows = await db.execute(
        f"""
        delete from renditions r where media_id = %s and name = %s
            and exists (
                select from media_versions v
                where v.media_id = r.media_id and v.version = r.version
            )
            and not exists (
                select from version_renditions k
                where k.media_id = r.media_id and k.version = r.version and k.name = r.name
            )
        returning {RENDITION}
        """.encode(),
        (media_id, rendition.name),
    )
    row = await rows.fetchone()
    if row is None:
        return False
    await db.execute(
        f"insert into version_renditions (media_id, {RENDITION})"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)".encode(),
        (media_id, *row.values()),
    )
    return True


async def kept_renditions(db: Connection, media_id: str, store: str) -> tuple[Rendition, ...]:
    """Renditions that were kept with earlier versions of a media, and are in this store."""
    rows = await db.execute(
        """
        select k.name, k.content_type, to_json(k.create_time) #>> '{}' as time, k.pipeline,
               k.version, k.width, k.height, b.blob_id::text as blob_id, b.store, b.key,
               b.size_bytes as size, b.crc32c, encode(b.sha256, 'hex') as sha256
        from version_renditions k join blobs b on b.blob_id = k.blob_id
        where k.media_id = %s and b.store = %s order by k.version, k.name
        """,
        (media_id, store),
    )
    return tuple([queries.rendition(row) async for row in rows])


async def move_kept(db: Connection, media_id: str, rendition: Rendition, blob_id: str) -> None:
    """Changes the blob of a kept rendition."""
    await db.execute(
        "update version_renditions set blob_id = %s"
        " where media_id = %s and version = %s and name = %s and blob_id = %s",
        (blob_id, media_id, rendition.version, rendition.name, rendition.blob.blob_id),
    )


async def remove_kept(db: Connection, version: Media) -> dict[str, str]:
    """Removes the renditions that were kept with a version. Returns their blobs by name. The
    caller removes the references to these."""
    rows = await db.execute(
        "delete from version_renditions where media_id = %s and version = %s"
        " returning name, blob_id::text as blob_id",
        (version.media_id, version.version),
    )
    return {row["name"]: row["blob_id"] async for row in rows}


async def remove(db: Connection, version: Media) -> None:
    """Removes a version that is not current. The caller removes the reference to its blob."""
    await db.execute(
        "delete from media_versions where media_id = %s and version = %s and state is not null",
        (version.media_id, version.version),
    )
    await db.execute(
        "update media set other_bytes = other_bytes - %s where media_id = %s",
        (version.blob.size_bytes, version.media_id),
    )
    await queries.touch(db, version.media_id)


async def without_jobs(db: Connection, limit: int) -> Sequence[tuple[str, int]]:
    """Versions that wait for an inspection or a scan for which there is no job: a worker of an
    earlier release, which knows nothing of versions, has ended it."""
    rows = await db.execute(
        """
        select v.media_id::text as media_id, v.version
        from media_versions v join media m on m.media_id = v.media_id
        where v.state in ('PENDING', 'PROCESSING') and m.delete_time is null
          and v.create_time < now() - interval '1 minute'
          and not exists (
              select from jobs j where j.subject_id = v.media_id and j.kind in ('INGEST', 'SCAN')
              and j.version = v.version and j.state in ('QUEUED', 'RUNNING')
          )
        order by v.create_time limit %s
        """,
        (limit,),
    )
    return [(row["media_id"], row["version"]) async for row in rows]
