"""SQL of blobs: how many references each has, and when its bytes may go."""

from media_service.blobs.model import Blob
from media_service.db.transaction import Connection
from media_service.storage.checksums import Checksums


async def reserve(db: Connection, blob: Blob) -> None:
    """Writes down a blob whose bytes are to come, and that nothing refers to yet."""
    await db.execute(
        "insert into blobs (blob_id, store, key, size_bytes, crc32c, sha256, reference_count)"
        " values (%s, %s, %s, %s, %s, %s, 0)",
        (
            blob.blob_id,
            blob.store,
            blob.key,
            blob.size_bytes,
            blob.checksums.crc32c,
            blob.checksums.sha256,
        ),
    )


async def take(db: Connection, blob_id: str) -> bool:
    """The first reference to a blob that was reserved; False if its removal has begun."""
    done = await db.execute(
        "update blobs set reference_count = 1"
        " where blob_id = %s and reference_count = 0 and not doomed",
        (blob_id,),
    )
    return done.rowcount == 1


async def release(db: Connection, blob_id: str) -> bool:
    """Takes a reference away; True if it was the last one."""
    rows = await db.execute(
        "update blobs set reference_count = reference_count - 1 where blob_id = %s"
        " returning reference_count",
        (blob_id,),
    )
    row = await rows.fetchone()
    return row is not None and row["reference_count"] == 0


async def doom(db: Connection, blob_id: str) -> Blob | None:
    """A blob that nothing refers to, and from now on nothing will; None if something does, or it
    is gone."""
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
