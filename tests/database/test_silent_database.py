"""No wait for PostgreSQL is without a limit, and connections that went dead are replaced."""

import asyncio
from urllib.parse import urlsplit

import psycopg
import pytest

from media_service.db import migrate as migrations
from media_service.db.database import Database
from media_service.db.notifications import MediaChanged
from media_service.db.pool import Pool
from media_service.db.pulse import Pulse
from media_service.errors import Reason, Unavailable
from tests.support.silent_database import line_to

TIMEOUT = 0.5
PATIENCE_SECONDS = 20


async def ask(database: Database, statement: bytes = b"select 1") -> None:
    async with database.connection() as db:
        await db.execute(statement)


async def refused(database: Database, statement: bytes = b"select 1") -> None:
    with pytest.raises(Unavailable) as caught:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ask(database, statement)
    assert caught.value.reason is Reason.DATABASE_UNAVAILABLE


async def test_a_long_queue_of_callers_of_a_silent_database_is_refused(database_url: str) -> None:
    async with line_to(database_url) as (line, url), Database(url, 2, TIMEOUT) as database:
        line.silence()
        async with asyncio.TaskGroup() as callers:
            for _ in range(200):
                callers.create_task(refused(database))
        assert not database.available
        line.resume()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not database.available:
                await asyncio.sleep(0.01)
        await ask(database)


async def test_dead_connections_are_replaced_and_events_arrive_again(database_url: str) -> None:
    async with line_to(database_url) as (line, url), Database(url, 4, TIMEOUT) as database:
        await asyncio.gather(*(ask(database) for _ in range(4)))
        line.forget()
        await refused(database)
        await asyncio.gather(*(ask(database) for _ in range(4)))
        found: list[MediaChanged] = []
        with database.listen(MediaChanged, "some", found.append):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not found:  # an event may be lost
                    async with database.connection() as db:
                        db.notify(MediaChanged("some"))
                    await asyncio.sleep(0.1)


async def test_a_connection_that_postgresql_ended_is_not_used_again(
    database_url: str, postgres: str
) -> None:
    async with Database(database_url, 4, TIMEOUT) as database:
        await asyncio.gather(*(ask(database, b"select pg_sleep(0.1)") for _ in range(4)))
        with psycopg.connect(postgres, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s",
                (urlsplit(database_url).path.removeprefix("/"),),
            )
        await asyncio.gather(*(ask(database) for _ in range(4)))


async def test_a_cancelled_statement_that_cannot_be_ended_is_given_up(database_url: str) -> None:
    async with line_to(database_url) as (line, url), Database(url, 2, 60) as database:
        asking = asyncio.create_task(ask(database, b"select pg_sleep(60)"))
        await asyncio.sleep(0.1)
        line.silence()
        asking.cancel()
        await asyncio.wait([asking], timeout=PATIENCE_SECONDS)
        assert asking.cancelled()
        line.resume()
        await ask(database)


async def test_a_slow_statement_is_ended_but_one_that_reads_a_table_is_not(
    database_url: str,
) -> None:
    slow = b"select pg_sleep(0.8)"
    async with Database(database_url, 2, TIMEOUT) as database:
        await refused(database, slow)
        async with database.long_connection() as db:
            await db.execute(slow)


async def test_closing_does_not_wait_for_a_silent_database(database_url: str) -> None:
    async with line_to(database_url) as (line, url):
        async with asyncio.timeout(PATIENCE_SECONDS), Database(url, 2, 60) as database:
            asking = asyncio.create_task(ask(database, b"select pg_sleep(60)"))
            await asyncio.sleep(0.1)
            line.silence()
            asking.cancel()
        await asyncio.wait([asking])


async def test_a_migration_that_waits_for_a_lock_lets_statements_pass(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(migrations, "LOCK_PAUSE_SECONDS", 0.1)
    change = migrations.Migration("9999_test", "alter table media add column test text")
    known = migrations.migrations()
    monkeypatch.setattr(migrations, "migrations", lambda: [*known, change])
    with psycopg.connect(database_url) as reader:
        reader.execute("select from media")
        migrating = asyncio.create_task(migrations.migrate(database_url))
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute("set statement_timeout = '10s'")
            for _ in range(5):
                await other.execute("select from media")
                await asyncio.sleep(0.1)
            assert not migrating.done()
        reader.rollback()
        assert await migrating == ["9999_test"]


async def test_a_probe_that_is_interrupted_changes_no_limit_of_statements(
    database_url: str,
) -> None:
    """The probe runs into its own limit, in two steps that each take less."""
    seconds = 2.0
    async with line_to(database_url) as (line, url):
        pool = Pool(url, seconds)
        pulse = Pulse(pool, seconds)
        with psycopg.connect(database_url) as other:
            other.execute("lock table schema_migrations")
            line.silence()
            probing = asyncio.create_task(pulse.begin())
            await asyncio.sleep(0.4)
            line.resume()
            assert not await probing
        async with pool.connection() as connection:
            await connection.execute("select pg_sleep(1)")
        await pool.close()
