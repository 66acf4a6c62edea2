"""SQL of archives."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from media_service.access.principal import Principal
from media_service.blobs.model import Blob
from media_service.db.due_rows import delete_expired
from media_service.db.transaction import Connection
from media_service.downloads.archives.model import Archive, ArchiveFile
from media_service.downloads.archives.zip_format import File
from media_service.storage.checksums import Checksums

FILES = """
    select f.position, f.media_id::text as media_id, f.version, f.rendition, f.name, f.size_bytes,
           f.modified, f.described, f.start, b.blob_id::text as blob_id, b.store, b.key, b.crc32c,
           b.sha256, b.crc32
    from archive_files f
    left join media_versions v
        on f.rendition = '' and v.media_id = f.media_id and v.version = f.version
    left join renditions r
        on f.rendition <> '' and r.media_id = f.media_id and r.name = f.rendition
    join blobs b on b.blob_id = coalesce(v.blob_id, r.blob_id)
        and b.crc32c = f.crc32c and b.size_bytes = f.size_bytes
"""


async def crc32s(db: Connection, blob_ids: Sequence[str]) -> dict[str, int]:
    """The CRC-32 of the blobs of which it is known."""
    rows = await db.execute(
        "select blob_id::text as blob_id, crc32 from blobs"
        " where blob_id = any(%s::uuid[]) and crc32 is not null",
        (list(blob_ids),),
    )
    return {row["blob_id"]: row["crc32"] async for row in rows}


async def set_crc32(db: Connection, blob_id: str, crc32: int) -> None:
    await db.execute(
        "update blobs set crc32 = %s where blob_id = %s and crc32 is null", (crc32, blob_id)
    )


async def insert(
    db: Connection, archive: Archive, creator: Principal, files: Sequence[ArchiveFile]
) -> None:
    await db.execute(
        "insert into archives (archive_id, creator, org_id, filename, file_count, directory_start,"
        " size_bytes, create_time, expire_time) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            archive.archive_id,
            creator.grantee,
            creator.org_id,
            archive.filename,
            archive.file_count,
            archive.directory_start,
            archive.size_bytes,
            archive.create_time,
            archive.expire_time,
        ),
    )
    rows = [
        {
            "position": each.position,
            "media_id": each.media_id,
            "version": each.version,
            "rendition": each.rendition,
            "crc32c": each.blob.checksums.crc32c,
            "name": each.file.name,
            "size_bytes": each.file.size_bytes,
            "modified": each.file.modified.isoformat(),
            "described": each.file.described,
            "start": each.file.start,
        }
        for each in files
    ]
    await db.execute(
        """
        insert into archive_files (archive_id, position, media_id, version, rendition, name,
                                   size_bytes, modified, described, start, crc32c)
        select %s, f.* from json_to_recordset(%s::json) as f (
            position integer, media_id uuid, version integer, rendition text, name text,
            size_bytes bigint, modified timestamptz, described boolean, start bigint, crc32c bigint
        )
        """,
        (archive.archive_id, json.dumps(rows)),
    )


async def get(db: Connection, archive_id: str, creator: Principal) -> Archive | None:
    """An archive of this caller that has not expired."""
    rows = await db.execute(
        "select archive_id::text as archive_id, filename, file_count, directory_start, size_bytes,"
        " create_time, expire_time from archives"
        " where archive_id = %s and creator = %s and org_id = %s and expire_time > now()",
        (archive_id, creator.grantee, creator.org_id),
    )
    row = await rows.fetchone()
    return Archive(**row) if row else None


async def page(db: Connection, archive_id: str, position: int, limit: int) -> Sequence[ArchiveFile]:
    """The next files, from this position on. Those whose bytes have changed are missing."""
    where = "where f.archive_id = %s and f.position >= %s order by f.position limit %s"
    rows = await db.execute(f"{FILES} {where}".encode(), (archive_id, position, limit))
    return [archive_file(row) async for row in rows]


async def position_at(db: Connection, archive_id: str, offset: int) -> int:
    """The position of the file that has the byte at this offset of the archive."""
    rows = await db.execute(
        "select coalesce(max(position), 0) as position from archive_files"
        " where archive_id = %s and start <= %s",
        (archive_id, offset),
    )
    row = await rows.fetchone()
    return int(row["position"]) if row else 0


def archive_file(row: Mapping[str, Any]) -> ArchiveFile:
    return ArchiveFile(
        row["position"],
        row["media_id"],
        row["version"],
        row["rendition"],
        Blob(
            row["blob_id"],
            row["store"],
            row["key"],
            row["size_bytes"],
            Checksums(row["crc32c"], row["sha256"]),
        ),
        File(row["name"], row["size_bytes"], row["modified"], row["described"], row["start"]),
        row["crc32"],
    )


async def keep_newest(db: Connection, creator: Principal, most: int) -> None:
    """Deletes the oldest archives of a caller, except this many."""
    await db.execute(
        "delete from archives where archive_id in (select archive_id from archives"
        " where creator = %s order by create_time desc, archive_id offset %s)",
        (creator.grantee, most),
    )


async def delete_of_creator(db: Connection, creator: str) -> None:
    await db.execute("delete from archives where creator = %s", (creator,))


async def delete_with_media(db: Connection, media_id: str) -> None:
    """Deletes all archives that contain a media."""
    await db.execute(
        "delete from archives where archive_id in"
        " (select archive_id from archive_files where media_id = %s)",
        (media_id,),
    )


async def delete_expired_archives(db: Connection, limit: int) -> int:
    return await delete_expired(db, "archives", "archive_id", limit)
