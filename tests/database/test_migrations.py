"""Migrations bring any database to the same schema, once."""

import psycopg
import pytest

from media_service.db.database import Database
from media_service.db.migrate import migrate, migrations


async def test_a_migrated_database_has_nothing_left_to_apply(database_url: str) -> None:
    assert await migrate(database_url) == []


async def test_an_edited_migration_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update schema_migrations set digest = 'other'")
    with pytest.raises(RuntimeError, match="edited after it ran"):
        await migrate(database_url)


async def test_a_database_newer_than_the_code_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("insert into schema_migrations values ('9999_later', 'x')")
    with pytest.raises(RuntimeError, match="9999_later"):
        await migrate(database_url)


async def test_every_table_of_the_first_migration_is_there(database: Database) -> None:
    async with database.connection() as db:
        rows = await db.execute("select tablename from pg_tables where schemaname = 'public'")
        names = {row["tablename"] async for row in rows}
    assert names >= {"blobs", "media", "media_versions", "uploads", "upload_parts", "jobs"}
    assert [m.name for m in migrations()] == [
        "0001_initial",
        "0002_part_numbers",
        "0003_parts",
        "0004_renditions",
        "0005_jobs",
        "0006_renders",
        "0007_streams",
    ]
