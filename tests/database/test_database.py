"""Connections are as good as new for whoever comes next."""

from collections.abc import AsyncIterator

import pytest

from media_service.db.database import Database, Duplicate

STATEMENTS = ("select 1 as n", "select 2 as n", "select 3 as n")


async def pipelined(database: Database) -> list[int]:
    async with database.pipeline() as db:
        rows = [await db.execute(statement) for statement in STATEMENTS]
    return [(await one.fetchall())[0]["n"] for one in rows]


@pytest.fixture
async def single(database_url: str) -> AsyncIterator[Database]:
    """With one connection free, so that everybody gets the same."""
    async with Database(database_url, 2) as database, database.connection():
        yield database


async def test_statements_go_on_after_a_duplicate(single: Database) -> None:
    async with single.connection() as db:
        await db.execute("create table taken (n int primary key)")

    async def fail() -> None:
        async with single.pipeline() as db:
            await db.execute("insert into taken values (1), (1)")
            for statement in STATEMENTS:
                await db.execute(statement)

    for _ in range(4):
        with pytest.raises(Duplicate):
            await fail()
        for _ in range(3):
            assert await pipelined(single) == [1, 2, 3]
