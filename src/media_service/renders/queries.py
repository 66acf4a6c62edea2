"""SQL of cached renders."""

from datetime import datetime, timedelta

from media_service.blobs.model import Blob
from media_service.db.transaction import Connection
from media_service.quotas import queries as quotas
from media_service.renders.model import Render
from media_service.storage.checksums import Checksums


async def find(db: Connection, media_id: str, key: bytes) -> tuple[Render, datetime] | None:
    """Returns a render and the recorded time of its last use."""
    rows = await db.execute(
        """
        select r.content_type, r.use_time, b.blob_id::text as blob_id, b.store, b.key,
               b.size_bytes, b.crc32c, b.sha256
        from renders r join blobs b on b.blob_id = r.blob_id
        where r.media_id = %s and r.key = %s
        """,
        (media_id, key),
    )
    row = await rows.fetchone()
    if row is None:
        return None
    checksums = Checksums(row["crc32c"], row["sha256"])
    blob = Blob(row["blob_id"], row["store"], row["key"], row["size_bytes"], checksums)
    return Render(blob, row["content_type"], blob.size_bytes, checksums), row["use_time"]


async def lock_media(db: Connection, media_id: str) -> bool | None:
    """Prevents a media from being purged or transferred before the transaction ends. Returns
    whether a quota limits any cache, or None if the media is gone."""
    rows = await db.execute(
        """
        select exists (
            select from quotas where measure = 'CACHE_BYTES' and hard_limit is not null
        ) as limited
        from media where media_id = %s for share
        """,
        (media_id,),
    )
    row = await rows.fetchone()
    return row["limited"] if row else None


async def put(
    db: Connection, media_id: str, key: bytes, content_type: str, blob_id: str
) -> str | None:
    """Adds a render, or replaces its blob. Returns the blob that now has no reference: the previous
    one, or the new one if the previous render is being removed. Otherwise, returns None."""
    added = await db.execute(
        "insert into renders (media_id, key, blob_id, content_type) values (%s, %s, %s, %s)"
        " on conflict do nothing",
        (media_id, key, blob_id, content_type),
    )
    if added.rowcount == 1:
        return None
    rows = await db.execute(
        """
        with older as (
            select blob_id from renders where media_id = %(media_id)s and key = %(key)s for update
        )
        update renders r set blob_id = %(blob_id)s, content_type = %(type)s, use_time = now()
        from older where r.media_id = %(media_id)s and r.key = %(key)s
        returning older.blob_id::text as blob_id
        """,
        {"media_id": media_id, "key": key, "blob_id": blob_id, "type": content_type},
    )
    row = await rows.fetchone()
    return row["blob_id"] if row else blob_id


async def record_use(db: Connection, media_id: str, key: bytes) -> None:
    await db.execute(
        "update renders set use_time = now() where media_id = %s and key = %s", (media_id, key)
    )


async def remove_surplus(
    db: Connection, media_id: str, max_count: int, max_bytes: int
) -> list[str]:
    """Removes the renders of a media that exceed the limits, least recently used first. Returns
    their blobs."""
    rows = await db.execute(
        """
        delete from renders where (media_id, key) in (
            select media_id, key from renders where (media_id, key) in (
                select media_id, key from (
                    select r.media_id, r.key, count(*) over later as position,
                           sum(b.size_bytes) over later as bytes
                    from renders r join blobs b on b.blob_id = r.blob_id
                    where r.media_id = %s
                    window later as (order by r.use_time desc, r.key rows unbounded preceding)
                ) ranked
                where position > %s or bytes > %s
            )
            for update skip locked
        )
        returning blob_id::text as blob_id
        """,
        (media_id, max_count, max_bytes),
    )
    return [row["blob_id"] async for row in rows]


async def remove_over_quotas(db: Connection, media_id: str, key: bytes) -> list[str]:
    """If the caches of accounts of a media are full, removes their least recently used renders
    until a tenth is free, but not the given render, which was just added. Returns their blobs."""
    blob_ids: list[str] = []
    for account, limit in (await quotas.full_caches(db, media_id)).items():
        paid, params = quotas.paid_media(account, "t.media_id")
        rows = await db.execute(
            f"""
            delete from renders where (media_id, key) in (
                select media_id, key from renders where (media_id, key) in (
                    select media_id, key from (
                        select r.media_id, r.key, new.r as new, sum(b.size_bytes) over (
                            order by new.r desc, r.use_time desc, r.media_id, r.key
                            rows unbounded preceding
                        ) as bytes
                        from ({paid}) t
                        join renders r on r.media_id = t.media_id
                        join blobs b on b.blob_id = r.blob_id
                        cross join lateral (
                            select (r.media_id, r.key) = (%(media_id)s, %(key)s::bytea)
                        ) new (r)
                    ) ranked
                    where bytes > %(keep)s and not new
                )
                for update skip locked
            )
            returning blob_id::text as blob_id
            """.encode(),
            {**params, "media_id": media_id, "key": key, "keep": limit - limit // 10},
        )
        blob_ids += [row["blob_id"] async for row in rows]
    return blob_ids


async def remove_unused(db: Connection, ttl: timedelta, limit: int) -> list[str]:
    """Removes renders that were not used for `ttl`, and returns their blobs."""
    rows = await db.execute(
        """
        delete from renders where (media_id, key) in (
            select media_id, key from renders where use_time < now() - %s
            order by use_time limit %s
            for update skip locked
        )
        returning blob_id::text as blob_id
        """,
        (ttl, limit),
    )
    return [row["blob_id"] async for row in rows]
