"""SQL of parts that callers name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from media_service.db.database import Connection
from media_service.uploads.model import MOST_UNCOUNTED, Part, Upload
from media_service.uploads.queries import record


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is claimed: `size` bytes in all, and the highest part so far, if there is one."""

    size: int
    highest: tuple[int, int] | None  # number, size


async def begin(db: Connection, upload_id: str, since: int | None = None) -> Upload | None:
    """Begins the next epoch, in which a caller puts parts, beside others who do. A stream is
    superseded, and the numbers it may have used left out. None if the upload takes no bytes, or if
    its callers do not put parts since the epoch `since` any more."""
    rows = await db.execute(
        """
        update uploads u
        set epoch = epoch + 1,
            next_part = next_part
                + case when parts_since is null and epoch > 0 then %s else 0 end,
            parts_since = coalesce(parts_since, epoch + 1)
        where upload_id = %s and state = 'ACTIVE' and coalesce(parts_since = %s, %s)
        returning u.*, u.upload_id::text as upload_id, u.blob_id::text as blob_id,
                  u.request_id::text as request_id
        """,
        (MOST_UNCOUNTED + 1, upload_id, since, since is None),
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def some(db: Connection, upload_id: str, numbers: Sequence[int]) -> dict[int, Part]:
    """Those of these parts that are claimed or stored, by number."""
    rows = await db.execute(
        "select number, size_bytes, crc32c, epoch, sealed, stored from upload_parts"
        " where upload_id = %s and number = any(%s)",
        (upload_id, list(numbers)),
    )
    return {
        row["number"]: Part(
            row["number"],
            0,
            row["size_bytes"],
            row["crc32c"],
            row["epoch"],
            row["sealed"],
            row["stored"],
        )
        async for row in rows
    }


async def extent(db: Connection, upload: Upload) -> Extent:
    rows = await db.execute(
        """
        select coalesce(sum(size_bytes) filter (where number >= %(next_part)s), 0) as size,
               (array_agg(array[number, size_bytes] order by number desc))[1:1] as highest
        from (
            select number, size_bytes from upload_parts
            where upload_id = %(upload_id)s and number >= %(next_part)s - 1
        ) as last
        """,
        {"upload_id": upload.upload_id, "next_part": upload.next_part},
    )
    row = await rows.fetchone()
    if row is None or not row["highest"]:
        return Extent(upload.committed_size, None)
    number, size = row["highest"][0]
    return Extent(upload.committed_size + int(row["size"]), (number, size))


async def claim(db: Connection, upload_id: str, parts: Sequence[Part]) -> None:
    """Adds parts that are not stored yet. The caller holds the upload's row."""
    await db.execute(
        """
        insert into upload_parts (upload_id, number, size_bytes, crc32c, epoch, sealed, stored)
        select %s, part.*, true, false
        from unnest(%s::int[], %s::bigint[], %s::bigint[], %s::int[]) as part
        """,
        (
            upload_id,
            [part.number for part in parts],
            [part.size for part in parts],
            [part.crc32c for part in parts],
            [part.epoch for part in parts],
        ),
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
            update_time = now(), expire_time = now() + %(expiry)s
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


async def stored_page(db: Connection, upload_id: str, after: int, limit: int) -> list[Part]:
    """Stored parts by number, those after `after`."""
    rows = await db.execute(
        "select number, size_bytes, crc32c, epoch, sealed from upload_parts"
        " where upload_id = %s and stored and number > %s order by number limit %s",
        (upload_id, after, limit),
    )
    return [
        Part(row["number"], 0, row["size_bytes"], row["crc32c"], row["epoch"], row["sealed"])
        async for row in rows
    ]


async def claimed(db: Connection, upload_id: str) -> list[Part]:
    """Parts that are claimed and not known to be stored."""
    rows = await db.execute(
        "select number, size_bytes, crc32c, epoch from upload_parts"
        " where upload_id = %s and not stored",
        (upload_id,),
    )
    return [
        Part(row["number"], 0, row["size_bytes"], row["crc32c"], row["epoch"], True, stored=False)
        async for row in rows
    ]
