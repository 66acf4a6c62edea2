"""Callers wait for a connection as long as the queue advances, and no longer."""

import asyncio

import pytest

from media_service.db import turns as module
from media_service.db.database import Database
from media_service.errors import Reason, Unavailable


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STANDSTILL_SECONDS", 0.5)


async def test_a_long_queue_is_not_an_outage(database_url: str) -> None:
    async with Database(database_url, 2) as database:

        async def work() -> None:
            async with database.connection() as db:
                await db.execute("select pg_sleep(0.1)")

        await asyncio.gather(*(work() for _ in range(40)))  # takes two seconds


async def test_waiting_for_a_stalled_queue_fails(database_url: str) -> None:
    async with Database(database_url, 2) as database:
        free = asyncio.Event()

        async def hold() -> None:
            async with database.connection():
                await free.wait()

        holding = [asyncio.create_task(hold()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as caught:
            async with asyncio.timeout(20), database.connection():
                pass
        assert caught.value.reason is Reason.DATABASE_UNAVAILABLE
        free.set()
        await asyncio.gather(*holding)
        async with database.connection() as db:  # the caller that gave up has left the queue
            await db.execute("select 1")


async def test_callers_of_a_share_leave_connections_to_others(database_url: str) -> None:
    async with Database(database_url, 4) as database:
        share, free, held = database.share(2), asyncio.Event(), 0

        async def hold() -> None:
            nonlocal held
            async with share.connection():
                held += 1
                await free.wait()

        holding = [asyncio.create_task(hold()) for _ in range(20)]
        async with asyncio.timeout(20):
            while held < 2:
                await asyncio.sleep(0.01)
            for _ in range(5):
                async with database.connection(), database.connection() as db:
                    await db.execute("select 1")
            assert held == 2
            free.set()
            await asyncio.gather(*holding)
        assert held == 20
