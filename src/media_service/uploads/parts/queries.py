"""SQL of numbered parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg.sql import SQL

from media_service.access.principal import Principal
from media_service.access.queries import caller_params
from media_service.db.transaction import Connection
from media_service.uploads.model import Part, Upload
from media_service.uploads.queries import COLUMNS, for_callers, is_link, record

SELECT = """
    select number, size_bytes, crc32c, epoch, sealed, stored, signed, replaceable
    from upload_parts
"""
# An upload with one of its parts.
FIND = for_callers("""
    select {columns}, to_json(p) as part, {role} as role, {project_role} as project_role
    from {caller} cross join uploads u
    left join upload_parts p on p.upload_id = u.upload_id and p.number = %s
    where u.upload_id = %s
""")


@dataclass(frozen=True, slots=True)
class Held:
    """A locked upload, and the requested parts by number."""

    upload: Upload
    known: Mapping[int, Part]
    claimed_size: int  # of all its parts, stored or claimed

    def new(self, parts: Sequence[Part]) -> list[Part]:
        """The parts that are neither claimed nor stored."""
        return [part for part in parts if part.number not in self.known]


def part_of(row: Mapping[str, Any]) -> Part:
    """Builds a part from a row. Its offset is 0, because it depends on the earlier parts."""
    return Part(
        row["number"],
        0,
        row["size_bytes"],
        row["crc32c"],
        row["epoch"],
        row["sealed"],
        row["stored"],
        row["signed"],
        row["replaceable"],
    )


async def begin(db: Connection, upload_id: str, since: int | None = None) -> Upload | None:
    """Increments the epoch for a caller that puts parts. Supersedes a stream, but not other callers
    that put parts.

    Returns None if the upload is not ACTIVE, or if `since` is given and `parts_since` differs.
    """
    rows = await db.execute(
        SQL("""
        update uploads u
        set epoch = epoch + 1, parts_since = coalesce(parts_since, epoch + 1)
        where upload_id = %s and state = 'ACTIVE' and coalesce(parts_since = %s, %s)
        returning {}
        """).format(COLUMNS),
        (upload_id, since, since is None),
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def find(
    db: Connection, upload_id: str, number: int, principal: Principal | None = None
) -> tuple[Upload | None, Part | None]:
    """Returns an upload with the roles of the caller on it and on its project, and one of its
    parts. Each is None if it does not exist."""
    rows = await db.execute(
        FIND[is_link(principal)],
        (*caller_params(principal), number, upload_id),
    )
    row = await rows.fetchone()
    if row is None:
        return None, None
    return record(row), part_of(row["part"]) if row["part"] else None


async def some(db: Connection, upload_id: str, numbers: Sequence[int]) -> dict[int, Part]:
    """Returns the parts among `numbers` that are claimed or stored, by number."""
    rows = await db.execute(
        SELECT + "where upload_id = %s and number = any(%s)", (upload_id, list(numbers))
    )
    return {row["number"]: part_of(row) async for row in rows}


async def hold(db: Connection, upload_id: str, numbers: Sequence[int]) -> Held | None:
    """Locks the upload until the transaction ends. Returns it with the parts among `numbers` that
    are claimed or stored.

    Two statements are necessary: a single one that waits for the lock would see an old state of the
    parts. A pipeline sends both at once.
    """
    await db.execute("select from uploads where upload_id = %s for update", (upload_id,))
    rows = await db.execute(
        SQL("""
        select {},
               array(
                   select to_json(p) from upload_parts p
                   where p.upload_id = u.upload_id and p.number = any(%s)
               ) as known,
               coalesce((
                   select sum(p.size_bytes) from upload_parts p
                   where p.upload_id = u.upload_id and p.number >= u.next_part
               ), 0)::bigint as behind
        from uploads u where upload_id = %s
        """).format(COLUMNS),
        (list(numbers), upload_id),
    )
    row = await rows.fetchone()
    if row is None:
        return None
    upload = record(row)
    known = {part["number"]: part_of(part) for part in row["known"]}
    return Held(upload, known, upload.committed_size + row["behind"])


async def claim(db: Connection, upload_id: str, parts: Sequence[Part]) -> None:
    """Adds parts that are not stored yet. The caller must hold a lock on the upload's row."""
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
    """Marks claimed parts as signed, so that clients may send them directly to the store. Their
    epochs change, so that no writer of this service has the same part names."""
    await db.execute(
        """
        update upload_parts p set epoch = signed.epoch, signed = true
        from unnest(%s::int[], %s::int[]) as signed (number, epoch)
        where p.upload_id = %s and p.number = signed.number
        """,
        ([part.number for part in parts], [part.epoch for part in parts], upload_id),
    )


async def prolong(db: Connection, upload_id: str, lifetime: timedelta) -> None:
    """Extends the upload's expiry to at least an hour after that of its signed URLs."""
    await db.execute(
        "update uploads set expire_time = greatest(expire_time, now() + %s + interval '1 hour')"
        " where upload_id = %s",
        (lifetime, upload_id),
    )


async def confirm(db: Connection, upload: Upload, parts: Sequence[Part], expiry: timedelta) -> None:
    """Records parts as stored under these names, whether or not they were claimed. The caller must
    hold a lock on the upload's row."""
    await db.execute(
        """
        with counted as (
            insert into upload_parts (upload_id, number, size_bytes, crc32c, epoch, sealed)
            select %(upload_id)s, part.*, true
            from unnest(
                %(number)s::int[], %(size)s::bigint[], %(crc32c)s::bigint[], %(part_epoch)s::int[]
            ) as part
            on conflict (upload_id, number) do update set stored = true, epoch = excluded.epoch
            where not upload_parts.stored
            returning number, size_bytes
        ), here as (
            select number, size_bytes from counted
            union all  -- as it was before this statement, so without those
            select number, size_bytes from upload_parts
            where upload_id = %(upload_id)s and stored and not replaceable
              and number > %(next_part)s
        ), following as (
            select number, size_bytes, number - row_number() over (order by number) as run
            from here
            where exists (select from counted where number = %(next_part)s)
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
            "number": [part.number for part in parts],
            "size": [part.size for part in parts],
            "crc32c": [part.crc32c for part in parts],
            "part_epoch": [part.epoch for part in parts],
            "next_part": upload.next_part,
            "expiry": expiry,
        },
    )


async def claim_replacement(db: Connection, upload_id: str, part: Part) -> None:
    """Claims a number that is free or whose part is replaceable.

    The new epoch shows a concurrent caller that stores the same bytes that it is not alone. The
    caller must hold a lock on the upload's row.
    """
    await db.execute(
        """
        insert into upload_parts as p
            (upload_id, number, size_bytes, crc32c, epoch, sealed, stored)
        values (%s, %s, %s, %s, %s, true, false)
        on conflict (upload_id, number) do update
        set size_bytes = excluded.size_bytes, crc32c = excluded.crc32c, epoch = excluded.epoch,
            stored = false, replaceable = false
        where p.replaceable or not (p.stored or p.signed)
        """,
        (upload_id, part.number, part.size, part.crc32c, part.epoch),
    )


async def put_replaceable(db: Connection, upload_id: str, part: Part, expiry: timedelta) -> None:
    """Records a replaceable part as stored, in place of an earlier one. The part is not counted.
    The caller must hold a lock on the upload's row."""
    await db.execute(
        """
        insert into upload_parts
            (upload_id, number, size_bytes, crc32c, epoch, sealed, stored, replaceable)
        values (%s, %s, %s, %s, %s, true, true, true)
        on conflict (upload_id, number) do update
        set size_bytes = excluded.size_bytes, crc32c = excluded.crc32c, epoch = excluded.epoch,
            stored = true, replaceable = true
        """,
        (upload_id, part.number, part.size, part.crc32c, part.epoch),
    )
    await db.execute(
        "update uploads set update_time = now(), expire_time = greatest(expire_time, now() + %s)"
        " where upload_id = %s",
        (expiry, upload_id),
    )


async def page(db: Connection, upload_id: str, after: int, limit: int) -> list[Part]:
    """Returns stored and claimed parts with numbers above `after`, by number."""
    rows = await db.execute(
        SELECT + "where upload_id = %s and number > %s order by number limit %s",
        (upload_id, after, limit),
    )
    return [part_of(row) async for row in rows]


async def to_collect(db: Connection, upload_id: str) -> list[Part]:
    """Returns claimed parts that clients may have sent directly to the store."""
    rows = await db.execute(SELECT + "where upload_id = %s and not stored and signed", (upload_id,))
    return [part_of(row) async for row in rows]
