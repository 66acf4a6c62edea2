"""SQL of duplicates."""

from media_service.blobs.model import Blob
from media_service.db.transaction import Connection
from media_service.media.model import Media
from media_service.storage.checksums import Checksums

# The media `m` of the tenant of a media: its organization, or its owner if it has none.
OF_TENANT = """(
    m.org_id = %(org_id)s
    and (m.org_id <> '' or (m.owner_type, m.owner_id) = (%(owner_type)s, %(owner_id)s))
)"""


async def equals(db: Connection, media: Media, limit: int) -> list[Blob]:
    """Other blobs with the bytes of an original whose SHA-256 is known, of media of the same tenant
    that are in service. The oldest come first."""
    blob = media.blob
    rows = await db.execute(
        f"""
        select b.blob_id::text as blob_id, b.store, b.key, b.size_bytes, b.crc32c, b.sha256
        from blobs b
        where b.sha256 = %(sha256)s and b.store = 'raw' and b.size_bytes = %(size)s
          and b.store = %(store)s and b.blob_id <> %(blob_id)s and b.reference_count > 0
          and exists (
              select from media_versions v join media m on m.media_id = v.media_id
              where v.blob_id = b.blob_id and not v.strip_pending and m.state <> 'QUARANTINED'
                and {OF_TENANT}
          )
        order by b.blob_id limit %(limit)s
        """.encode(),
        {
            "sha256": blob.checksums.sha256,
            "size": blob.size_bytes,
            "store": blob.store,
            "blob_id": blob.blob_id,
            "org_id": media.owner.org_id,
            "owner_type": media.owner.type,
            "owner_id": media.owner.id,
            "limit": limit,
        },
    )
    return [
        Blob(
            row["blob_id"],
            row["store"],
            row["key"],
            row["size_bytes"],
            Checksums(row["crc32c"], row["sha256"]),
        )
        async for row in rows
    ]


async def set_blob(db: Connection, media: Media, blob_id: str) -> None:
    """Gives a version of a media, which is locked, another blob with the same bytes."""
    await db.execute(
        "update media_versions set blob_id = %s where media_id = %s and version = %s",
        (blob_id, media.media_id, media.version),
    )
