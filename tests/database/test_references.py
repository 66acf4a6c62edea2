"""Every table that refers to blobs declares it; otherwise a purge would leave its bytes behind."""

from media_service.blobs.references import blob_references
from media_service.db.database import Database


async def test_every_table_that_refers_to_blobs_declares_it(database: Database) -> None:
    async with database.connection() as db:
        rows = await db.execute(
            "select conrelid::regclass::text as name from pg_constraint"
            " where contype = 'f' and confrelid = 'blobs'::regclass"
        )
        tables = sorted([row["name"] async for row in rows])
    assert sorted(reference.table for reference in blob_references()) == tables
