"""A connection is returned to the pool in a clean state."""

import asyncio
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
    single: Database, later: int
) -> None:
    """`later` is a number of iterations of the event loop."""

    async def connect() -> None:
        async with single.connection():
            pass
        await asyncio.sleep(60)

    async with single.connection():
        waiting = asyncio.create_task(connect())
        await asyncio.sleep(0.01)
    for _ in range(later):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=5)
    assert waiting.cancelled()
    assert await pipelined(single) == [1, 2, 3], "the next caller gets its turn"


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


async def test_each_connection_has_limits_and_compiles_nothing(database: Database) -> None:
    async with database.connection() as db:
        rows = await db.execute(
            "select current_setting('statement_timeout') as statement_timeout,"
            " current_setting('lock_timeout') as lock_timeout, current_setting('jit') as jit,"
            " current_setting('idle_in_transaction_session_timeout') as idle"
        )
        row = await rows.fetchone()
    assert row == {
        "statement_timeout": "7200ms",
        "lock_timeout": "4800ms",
        "jit": "off",
        "idle": "1min",
    }
