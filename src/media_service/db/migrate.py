"""Upgrades the database schema: applies each `migrations/NNNN_name.sql` once, in order.

There are no downgrades: a change of the schema is a new file. Several processes may start at once:
an advisory lock lets one of them migrate while the others wait.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from psycopg import OperationalError
from psycopg.errors import LockNotAvailable

from media_service.db.connection import LimitedConnection
from media_service.db.extensions import check_extensions
from media_service.errors import Reason, Unavailable

SUFFIX = ".sql"
LOCK = 0x6D656469  # "medi"
CONNECT_SECONDS = 10.0
# The time limit of a statement. One that rewrites a large table may take long.
TIMEOUT_SECONDS = 4 * 3600.0
# How long a migration waits for the lock of a table. Statements of running servers queue behind it,
# so it must be less than the time limit of those. Then it lets them pass, and tries again.
LOCK_TIMEOUT = "3s"
LOCK_ATTEMPTS, LOCK_PAUSE_SECONDS = 20, 2.0


@dataclass(frozen=True)
class Migration:
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    return [
        Migration(file.name.removesuffix(SUFFIX), file.read_text())
        for file in sorted(files(), key=lambda file: file.name)
    ]


def names() -> set[str]:
    """The names of all migrations. To read them all takes a process that starts several times as
    long."""
    return {file.name.removesuffix(SUFFIX) for file in files()}


def files() -> Iterator[Traversable]:
    folder = resources.files(__package__) / "migrations"
    return (file for file in folder.iterdir() if file.name.endswith(SUFFIX))


async def connect(url: str) -> LimitedConnection:
    try:
        return await LimitedConnection.open(url, TIMEOUT_SECONDS, CONNECT_SECONDS)
    except OperationalError as error:
        raise unavailable(f"MEDIA_DATABASE_URL cannot be reached: {error}") from error


def unavailable(why: str) -> Unavailable:
    return Unavailable(Reason.DATABASE_UNAVAILABLE, why)


async def migrate(url: str) -> list[str]:
    """Applies the missing migrations and returns their names.

    Raises RuntimeError if an applied migration was edited afterwards, or is newer than this code,
    or if PostgreSQL lacks an extension, and Unavailable.
    """
    async with await connect(url) as db:
        try:
            return await apply_missing(db)
        except OperationalError as error:
            raise unavailable(f"The database did not complete the migration: {error}") from error


async def apply_missing(db: LimitedConnection) -> list[str]:
    await db.execute("set lock_timeout = 0")
    await db.execute("select pg_advisory_lock(%s)", (LOCK,))
    await db.execute("select set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
    await db.execute(
        "create table if not exists schema_migrations (name text primary key,"
        " digest text not null, apply_time timestamptz not null default now())"
    )
    rows = await db.execute("select name, digest from schema_migrations")
    done = {row["name"]: row["digest"] async for row in rows}
    known = migrations()
    if unknown := sorted(set(done) - {m.name for m in known}):
        raise RuntimeError(f"the database is newer than this version: {', '.join(unknown)}")
    await check_extensions(db)
    applied_now = []
    for migration in known:
        if migration.name in done:
            if done[migration.name] != migration.digest:
                raise RuntimeError(f"migration {migration.name} was edited after it ran")
            continue
        await apply(db, migration)
        applied_now.append(migration.name)
    return applied_now


async def apply(db: LimitedConnection, migration: Migration) -> None:
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            async with db.transaction():
                await db.execute(migration.sql.encode())
                await db.execute(
                    "insert into schema_migrations (name, digest) values (%s, %s)",
                    (migration.name, migration.digest),
                )
            return
        except LockNotAvailable:
            if attempt == LOCK_ATTEMPTS:
                raise
            await asyncio.sleep(LOCK_PAUSE_SECONDS)


async def applied(db: LimitedConnection) -> set[str]:
    """The names of the applied migrations."""
    rows = await db.execute("select to_regclass('schema_migrations') is not null as there")
    row = await rows.fetchone()
    if row is None or not row["there"]:
        return set()
    rows = await db.execute("select name from schema_migrations")
    return {row["name"] async for row in rows}


async def is_current(url: str) -> bool:
    """Whether the database has exactly the schema of this version."""
    async with await connect(url) as db:
        return await applied(db) == names()


async def is_sufficient(db: LimitedConnection) -> bool:
    """Whether the database has at least the schema of this version. While servers are replaced by
    those of a newer version, it has that one."""
    return await applied(db) >= names()
