"""SQL of comparing rows with bytes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from media_service.blobs.queries import referred
from media_service.blobs.references import blob_references
from media_service.db.transaction import Connection, Rollback, Transaction
from media_service.errors import Fault
from media_service.ids import new_id
from media_service.media.model import MediaState
from media_service.reconcile.model import REASONS, ReferencedBlob
from media_service.storage.checksums import Checksums

# A key, and the id of its blob, if it has the form of a blob's key.
Key = tuple[str, str | None]
FindReferenced = Callable[[Connection, Sequence[Key]], Awaitable[set[str]]]

REFERRED = referred(blob_references())
REFERRED_KEY = f"exists (select from blobs b where b.key = o.key and {REFERRED})"
# Bytes that are being written or removed: rows without references have such a job.
PLACED = """
    exists (
        select from blobs b
        join jobs j on j.subject_id = b.blob_id and j.kind = 'UNLINK'
        where b.key = o.key and b.reference_count = 0 and j.state in ('QUEUED', 'RUNNING')
    )
"""
# An upload that failed because its store was unavailable is kept until it expires, since its bytes
# may return with the store.
LIVE = """
    exists (
        select from uploads u
        where u.blob_id = o.blob_id and (
            u.state in ('ACTIVE', 'VERIFYING') or u.state = 'FAILED'
            and u.error_reason = 'STORAGE_UNAVAILABLE' and u.expire_time > now()
        )
    )
"""
SELECT = f"""
    select b.blob_id::text as blob_id, b.key, b.size_bytes, b.crc32c, b.sha256, exists (
        select from media_versions v
        join media m on m.media_id = v.media_id and m.version = v.version
        where v.blob_id = b.blob_id and m.state = 'QUARANTINED'
          and m.error_reason = any(%(reasons)s)
    ) as quarantined
    from blobs b
    where {REFERRED}
"""


def record(row: Mapping[str, Any]) -> ReferencedBlob:
    checksums = Checksums(row["crc32c"], row["sha256"])
    return ReferencedBlob(
        row["blob_id"], row["key"], row["size_bytes"], checksums, row["quarantined"]
    )


async def total_size(db: Connection, store: str) -> int:
    """The bytes that the store should have."""
    rows = await db.execute(
        "select coalesce(sum(size_bytes), 0)::bigint as size from blobs"
        " where store = %s and reference_count > 0",
        (store,),
    )
    row = await rows.fetchone()
    return int(row["size"]) if row else 0


async def page(db: Connection, store: str, after: str, limit: int) -> list[ReferencedBlob]:
    """The referenced blobs of the store in the order of keys, after the key `after`.

    Excludes blobs with a pending UNLINK job, whose bytes may be deleted at any time.
    """
    rows = await db.execute(
        SELECT.encode()
        + b"and b.store = %(store)s and b.key > %(after)s order by b.key limit %(limit)s",
        {"reasons": list(REASONS), "store": store, "after": after, "limit": limit},
    )
    return [record(row) async for row in rows]


async def get(db: Connection, blob_id: str) -> ReferencedBlob | None:
    """None if nothing refers to the blob."""
    rows = await db.execute(
        SELECT.encode() + b"and b.blob_id = %(blob_id)s",
        {"reasons": list(REASONS), "blob_id": blob_id},
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def referenced(db: Connection, objects: Sequence[Key]) -> set[str]:
    """Returns the keys that are in use: something refers to the blob, a job is about to remove it,
    or an upload will become it. A single statement, so that an upload that finishes meanwhile is
    seen either before or after."""
    return await matching(db, objects, f"{LIVE} or {PLACED} or {REFERRED_KEY}")


async def in_use(db: Connection, objects: Sequence[Key]) -> set[str]:
    """Returns the keys of open blobs that an upload may still write to or join. Open blobs of a
    finished upload are leftovers."""
    return await matching(db, objects, f"{LIVE} or {PLACED}")


async def matching(db: Connection, objects: Sequence[Key], condition: str) -> set[str]:
    """`condition`: one of the above, about `o`."""
    query = "select o.key from unnest(%s::text[], %s::uuid[]) as o (key, blob_id) where "
    rows = await db.execute(
        (query + condition).encode(),
        ([key for key, _ in objects], [blob_id for _, blob_id in objects]),
    )
    return {row["key"] async for row in rows}


async def retire(tx: Transaction, store: str, key: Key, find_referenced: FindReferenced) -> bool:
    """Ensures that this blob id will never be used; rolls back if it is in use.

    The unique id stops late transactions: a row in `uploads` refuses an upload, and a row in
    `blobs` refuses a media. Both rows stay, because there is no limit to how late one may come.
    They are inserted before the check: the unique keys make the inserts wait for a transaction that
    is inserting the same id, so either its rows are seen here, or it fails on these. An upload that
    has ended keeps its id for ever, and no state leads back from an end.
    """
    await tx.execute(
        "insert into uploads (upload_id, media_id, owner_type, owner_id, state, blob_id,"
        " expire_time) values (%s, %s, 'service', 'reconcile', 'ABORTED', %s, now())"
        " on conflict do nothing",
        (new_id(), new_id(), key[1]),
    )
    await tx.execute(
        "insert into blobs (blob_id, store, key, size_bytes, crc32c, reference_count, doomed)"
        " values (%s, %s, %s, 0, 0, 0, true) on conflict do nothing",
        (key[1], store, key[0]),
    )
    if await find_referenced(tx, [key]):
        raise Rollback
    return True


# The media whose current version has these bytes. All lock them in the order of their ids.
LOCKED_MEDIA = """
    locked as (
        select m.media_id from media_versions v join media m on m.media_id = v.media_id
        where v.blob_id = %(blob_id)s and v.version = m.version
        order by m.media_id for update of m
    )
"""


async def quarantine(db: Connection, blob_id: str, fault: Fault) -> list[str]:
    """Quarantines every media whose current version has these bytes, and returns those that were
    not quarantined before. Media that are quarantined for another reason keep that reason."""
    rows = await db.execute(
        f"""
        with {LOCKED_MEDIA}
        update media m
        set state = 'QUARANTINED', error_reason = %(reason)s, error_message = %(message)s,
            error_metadata = null, revision = revision + 1, update_time = now()
        from locked l
        where l.media_id = m.media_id
          and (m.state <> 'QUARANTINED'
               or m.error_reason = any(%(reasons)s) and m.error_reason <> %(reason)s)
        returning m.media_id::text as media_id
        """.encode(),
        {
            "blob_id": blob_id,
            "reason": fault.reason,
            "message": fault.message,
            "reasons": list(REASONS),
        },
    )
    return [row["media_id"] async for row in rows]


@dataclass(frozen=True, slots=True)
class RestoredMedia:
    """A media that has left the quarantine. It is READY again, or has yet to be ingested."""

    media_id: str
    ready: bool


async def take_back(db: Connection, blob_id: str) -> list[RestoredMedia]:
    """Ends the quarantine of media whose bytes are intact again; returns them."""
    rows = await db.execute(
        f"""
        with {LOCKED_MEDIA}
        update media m
        set state = case when m.info is null then 'PENDING' else 'READY' end,
            error_reason = null, error_message = null,
            revision = revision + 1, update_time = now()
        from locked l
        where l.media_id = m.media_id
          and m.state = 'QUARANTINED' and m.error_reason = any(%(reasons)s)
        returning m.media_id::text as media_id, m.state
        """.encode(),
        {"blob_id": blob_id, "reasons": list(REASONS)},
    )
    return [RestoredMedia(row["media_id"], row["state"] == MediaState.READY) async for row in rows]
