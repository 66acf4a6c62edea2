"""A connection is returned to the pool in a clean state."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg_pool.pool_async import WaitingClient

from media_service.db.database import Database, Duplicate

STATEMENTS = ("select 1 as n", "select 2 as n", "select 3 as n")


async def pipelined(database: Database) -> list[int]:
    async with database.pipeline() as db:
        rows = [await db.execute(statement) for statement in STATEMENTS]
    return [(await one.fetchall())[0]["n"] for one in rows]


@pytest.fixture
async def single(database_url: str) -> AsyncIterator[Database]:
    """A pool with one free connection, which all callers share."""
    async with Database(database_url, 2) as database, database.connection():
        yield database


async def test_a_connection_is_usable_after_a_duplicate(single: Database) -> None:
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


@pytest.mark.parametrize("later", range(6))
async def test_a_caller_cancelled_as_it_gets_a_connection_is_cancelled(
    database_url: str, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    """`later` is a number of iterations of the event loop."""
    given = WaitingClient.set
    waiting: list[asyncio.Task[None]] = []

    async def cancel() -> None:
        for _ in range(later):
            await asyncio.sleep(0)
        waiting[0].cancel()

    async def give(client: WaitingClient[Any], connection: Any) -> bool:
        waiting.append(asyncio.create_task(cancel()))
        return await given(client, connection)

    async def connect(database: Database) -> None:
        async with database.connection():
            pass
        await asyncio.sleep(60)

    # Two connections are open; a third is opened on demand.
    async with (
        Database(database_url, 3) as database,
        database.connection(),
        database.connection(),
    ):
        waiting.append(asyncio.create_task(connect(database)))
        monkeypatch.setattr(WaitingClient, "set", give)
        await asyncio.wait(waiting, timeout=5)
        assert waiting[0].cancelled()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("milliseconds", range(0, 20, 2))
async def test_a_cancelled_start_leaves_no_tasks(database_url: str, milliseconds: int) -> None:
    """A leftover task might miss the shutdown and keep the process from ending."""
    before = asyncio.all_tasks()
    starting = asyncio.create_task(Database(database_url, 2).__aenter__())
    await asyncio.sleep(milliseconds / 1000)
    starting.cancel()
    try:
        started = await starting
    except asyncio.CancelledError:
        assert asyncio.all_tasks() - before == set()
    else:
        await started.__aexit__()
