"""SQL of blobs and of references to them."""

from collections.abc import Sequence

from media_service.blobs.model import Blob
from media_service.blobs.references import BlobReference
from media_service.db.transaction import Connection
from media_service.storage.checksums import Checksums


async def reserve(db: Connection, blob: Blob) -> None:
    """Adds a blob without references, before its bytes are written."""
    await add(db, blob, references=0)


async def add(db: Connection, blob: Blob, references: int = 1) -> None:
    """Adds a blob to which the caller adds this many references."""
    await db.execute(
        "insert into blobs (blob_id, store, key, size_bytes, crc32c, sha256, reference_count)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (
            blob.blob_id,
            blob.store,
            blob.key,
            blob.size_bytes,
            blob.checksums.crc32c,
            blob.checksums.sha256,
            references,
        ),
    )


async def take(db: Connection, blob_id: str) -> bool:
    """Counts the first reference to a reserved blob. Returns False if its removal has begun."""
    done = await db.execute(
        "update blobs set reference_count = 1"
        " where blob_id = %s and reference_count = 0 and not doomed",
        (blob_id,),
    )
    return done.rowcount == 1


async def share(db: Connection, blob_id: str, instead_of: str) -> bool:
    """Counts one more reference to a blob. Returns False if it has none: its bytes may be gone.
    Locks both blobs. If two media exchanged theirs at the same time, one would find no reference.
    """
    await db.execute(
        "select from blobs where blob_id = any(%s::uuid[]) order by blob_id for update",
        ([blob_id, instead_of],),
    )
    done = await db.execute(
        "update blobs set reference_count = reference_count + 1"
        " where blob_id = %s and reference_count > 0",
        (blob_id,),
    )
    return done.rowcount == 1


async def release(db: Connection, blob_id: str) -> bool:
    """Removes a reference. Returns True if it was the last one."""
    rows = await db.execute(
        "update blobs set reference_count = reference_count - 1 where blob_id = %s"
        " returning reference_count",
        (blob_id,),
    )
    row = await rows.fetchone()
    return row is not None and row["reference_count"] == 0


async def begin_unlink(db: Connection, blob_id: str) -> Blob | None:
    """Marks a blob without references, so that it cannot get one. Returns the blob, or None if it
    has references or does not exist."""
    rows = await db.execute(
        "update blobs set doomed = true where blob_id = %s and reference_count = 0"
        " returning blob_id::text as blob_id, store, key, size_bytes, crc32c, sha256",
        (blob_id,),
    )
    row = await rows.fetchone()
    if not row:
        return None
    checksums = Checksums(row["crc32c"], row["sha256"])
    return Blob(row["blob_id"], row["store"], row["key"], row["size_bytes"], checksums)


async def remove(db: Connection, blob_id: str) -> None:
    await db.execute("delete from blobs where blob_id = %s and reference_count = 0", (blob_id,))


async def remove_references(
    db: Connection, references: Sequence[BlobReference], media_id: str
) -> list[str]:
    """Removes all references of a media. Returns the blobs that have none left."""
    deletes = ", ".join(
        f"of_{r.table} as (delete from {r.table} r where {r.of_media} returning r.blob_id)"
        for r in references
    )
    removed = " union all ".join(f"select blob_id from of_{r.table}" for r in references)
    # Media may share blobs. All lock them in the order of their ids.
    rows = await db.execute(
        f"""
        with {deletes}, removed as (
            select blob_id, count(*) as times from ({removed}) removed group by blob_id
        ), locked as (
            select b.blob_id, r.times from blobs b join removed r on r.blob_id = b.blob_id
            order by b.blob_id for update of b
        )
        update blobs b set reference_count = reference_count - l.times
        from locked l where b.blob_id = l.blob_id
        returning b.blob_id::text as blob_id, b.reference_count
        """.encode(),
        {"media_id": media_id},
    )
    return [row["blob_id"] async for row in rows if row["reference_count"] == 0]


def referred(references: Sequence[BlobReference]) -> str:
    """An SQL condition that holds if the blob `b` has references. It also checks the tables, in
    case a count is wrong."""
    tables = (f"exists (select from {r.table} r where r.blob_id = b.blob_id)" for r in references)
    return f"(b.reference_count > 0 or {' or '.join(tables)})"


async def media_of(
    db: Connection, references: Sequence[BlobReference], blob_id: str
) -> tuple[str, ...]:
    """The media that refer to this blob."""
    parts = " union ".join(
        f"select ({r.media_id})::text as media_id from {r.table} r where r.blob_id = %(blob_id)s"
        for r in references
    )
    rows = await db.execute(f"{parts} order by media_id".encode(), {"blob_id": blob_id})
    return tuple([row["media_id"] async for row in rows])


async def remove_expendable(
    db: Connection, references: Sequence[BlobReference], blob_id: str
) -> int:
    """Removes the references to a blob from expendable tables. Returns their number."""
    removed = 0
    for reference in references:
        if reference.expendable:
            done = await db.execute(
                f"delete from {reference.table} where blob_id = %s".encode(),
                (blob_id,),
            )
            removed += done.rowcount
    return removed


async def marker_of(db: Connection, store: str, fresh: str) -> tuple[str, bool]:
    """The marker of a store, and whether it was written once. A new store gets `fresh`."""
    await db.execute(
        "insert into stores (name, marker) values (%s, %s) on conflict do nothing", (store, fresh)
    )
    rows = await db.execute(
        "select marker::text as marker, written from stores where name = %s", (store,)
    )
    (row,) = await rows.fetchall()
    return row["marker"], row["written"]


async def record_marker(db: Connection, store: str, marker: str) -> None:
    """Records that the store has this marker."""
    await db.execute(
        "insert into stores (name, marker, written) values (%(store)s, %(marker)s, true)"
        " on conflict (name) do update set marker = %(marker)s, written = true",
        {"store": store, "marker": marker},
    )


async def some_keys(db: Connection, store: str, limit: int) -> list[str]:
    """The keys of the oldest and the newest blobs of a store that have references."""
    blobs = "select blob_id, key from blobs where store = %(store)s and reference_count > 0"
    rows = await db.execute(
        f"(({blobs} order by blob_id limit %(limit)s)"
        f" union ({blobs} order by blob_id desc limit %(limit)s))".encode(),
        {"store": store, "limit": limit},
    )
    return [row["key"] async for row in rows]
