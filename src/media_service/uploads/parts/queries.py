"""SQL of parts that callers name."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from media_service.db.database import Connection
from media_service.uploads.model import Part, Upload
from media_service.uploads.queries import record

SELECT = """
    select number, size_bytes, crc32c, epoch, sealed, stored, signed from upload_parts
"""


def part_of(row: Mapping[str, Any]) -> Part:
    """Without its offset, which follows from the parts before."""
    return Part(
        row["number"],
        0,
        row["size_bytes"],
        row["crc32c"],
        row["epoch"],
        row["sealed"],
        row["stored"],
        row["signed"],
    )


async def begin(db: Connection, upload_id: str, since: int | None = None) -> Upload | None:
    """Begins the next epoch, in which a caller puts parts, beside others who do. A stream is
    superseded. None if the upload takes no bytes, or if its callers do not put parts since the
    epoch `since` any more."""
    rows = await db.execute(
        """
        update uploads u
        set epoch = epoch + 1, parts_since = coalesce(parts_since, epoch + 1)
        where upload_id = %s and state = 'ACTIVE' and coalesce(parts_since = %s, %s)
        returning u.*, u.upload_id::text as upload_id, u.blob_id::text as blob_id,
                  u.request_id::text as request_id
        """,
        (upload_id, since, since is None),
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def some(db: Connection, upload_id: str, numbers: Sequence[int]) -> dict[int, Part]:
    """Those of these parts that are claimed or stored, by number."""
    rows = await db.execute(
        SELECT + "where upload_id = %s and number = any(%s)", (upload_id, list(numbers))
    )
    return {row["number"]: part_of(row) async for row in rows}


async def claimed_size(db: Connection, upload: Upload) -> int:
    """Bytes of all parts, stored or claimed. The caller holds the upload's row."""
    rows = await db.execute(
        "select coalesce(sum(size_bytes), 0) as size from upload_parts"
        " where upload_id = %s and number >= %s",
        (upload.upload_id, upload.next_part),
    )
    row = await rows.fetchone()
    return upload.committed_size + (int(row["size"]) if row else 0)


async def claim(db: Connection, upload_id: str, parts: Sequence[Part]) -> None:
    """Adds parts that are not stored yet. The caller holds the upload's row."""
    await db.execute(
        """
        insert into upload_parts
            (upload_id, number, size_bytes, crc32c, epoch, sealed, stored, signed)
        select %s, part.*, true, false, %s
        from unnest(%s::int[], %s::bigint[], %s::bigint[], %s::int[]) as part
        """,
        (
            upload_id,
            any(part.signed for part in parts),
            [part.number for part in parts],
            [part.size for part in parts],
            [part.crc32c for part in parts],
            [part.epoch for part in parts],
        ),
    )


async def claim_signed(db: Connection, upload_id: str, parts: Sequence[Part]) -> None:
    """Parts that a caller of this service claimed may now come past it, too; then under these
    names, which no writer of ours has."""
    await db.execute(
        """
        update upload_parts p set epoch = signed.epoch, signed = true
        from unnest(%s::int[], %s::int[]) as signed (number, epoch)
        where p.upload_id = %s and p.number = signed.number
        """,
        ([part.number for part in parts], [part.epoch for part in parts], upload_id),
    )


async def prolong(db: Connection, upload_id: str, lifetime: timedelta) -> None:
    """The upload rests no shorter than the URLs that lead to it, and an hour to complete it."""
    await db.execute(
        "update uploads set expire_time = greatest(expire_time, now() + %s + interval '1 hour')"
        " where upload_id = %s",
        (lifetime, upload_id),
    )


async def confirm(
    db: Connection, upload: Upload, parts: Sequence[Part], expiry: timedelta
) -> list[int]:
    """Parts that were claimed are stored now, under these names; returns the numbers of those that
    were not so before. The caller holds the upload's row."""
    rows = await db.execute(
        """
        update upload_parts p set stored = true, epoch = now_stored.epoch
        from unnest(%s::int[], %s::int[]) as now_stored (number, epoch)
        where p.upload_id = %s and p.number = now_stored.number and not p.stored
        returning p.number
        """,
        (
            [part.number for part in parts],
            [part.epoch for part in parts],
            upload.upload_id,
        ),
    )
    confirmed = [row["number"] async for row in rows]
    await db.execute(
        """
        with following as (
            select number, size_bytes, number - row_number() over (order by number) as run
            from upload_parts
            where upload_id = %(upload_id)s and stored and number >= %(next_part)s
              and %(next_part)s = any(%(confirmed)s)
        ), joined as (
            select count(*) as parts, coalesce(sum(size_bytes), 0) as size
            from following where run = %(next_part)s - 1
        )
        update uploads
        set next_part = next_part + joined.parts,
            committed_size = committed_size + joined.size,
            update_time = now(),
            expire_time = greatest(expire_time, now() + %(expiry)s)  -- URLs may last longer
        from joined
        where upload_id = %(upload_id)s
        """,
        {
            "upload_id": upload.upload_id,
            "next_part": upload.next_part,
            "confirmed": confirmed,
            "expiry": expiry,
        },
    )
    return confirmed


async def sealed_page(db: Connection, upload_id: str, after: int, limit: int) -> list[Part]:
    """Durable parts that are final, by number, those after `after`."""
    rows = await db.execute(
        SELECT + "where upload_id = %s and stored and sealed and number > %s"
        " order by number limit %s",
        (upload_id, after, limit),
    )
    return [part_of(row) async for row in rows]


async def to_collect(db: Connection, upload_id: str) -> list[Part]:
    """Parts that may have come past this service."""
    rows = await db.execute(SELECT + "where upload_id = %s and not stored and signed", (upload_id,))
    return [part_of(row) async for row in rows]
