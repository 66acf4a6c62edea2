"""Upgrades the database schema: applies each `migrations/NNNN_name.sql` once, in order.

There are no downgrades: a change of the schema is a new file. Several processes may start at once:
an advisory lock lets one of them migrate while the others wait.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import tuple_row

from media_service.errors import Reason, Unavailable

LOCK = 0x6D656469  # "medi"


@dataclass(frozen=True)
class Migration:
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    folder = resources.files(__package__) / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(f.name.removesuffix(".sql"), f.read_text()) for f in files]


async def connect(url: str) -> AsyncConnection[tuple[Any, ...]]:
    try:
        return await AsyncConnection.connect(url, autocommit=True, row_factory=tuple_row)
    except OperationalError as error:
        raise Unavailable(
            Reason.DATABASE_UNAVAILABLE, f"MEDIA_DATABASE_URL cannot be reached: {error}"
        ) from error


async def migrate(url: str) -> list[str]:
    """Applies the missing migrations and returns their names.

    Raises RuntimeError if an applied migration was edited afterwards, or is newer than this code.
    """
    applied = []
    async with await connect(url) as db:
        await db.execute("select pg_advisory_lock(%s)", (LOCK,))
        await db.execute(
            "create table if not exists schema_migrations (name text primary key,"
            " digest text not null, apply_time timestamptz not null default now())"
        )
        rows = await db.execute("select name, digest from schema_migrations")
        done: dict[str, str] = dict(await rows.fetchall())
        known = migrations()
        if unknown := sorted(set(done) - {m.name for m in known}):
            raise RuntimeError(f"the database is newer than this version: {', '.join(unknown)}")
        for migration in known:
            if migration.name in done:
                if done[migration.name] != migration.digest:
                    raise RuntimeError(f"migration {migration.name} was edited after it ran")
                continue
            async with db.transaction():
                await db.execute(migration.sql.encode())
                await db.execute(
                    "insert into schema_migrations (name, digest) values (%s, %s)",
                    (migration.name, migration.digest),
                )
            applied.append(migration.name)
    return applied


async def is_current(url: str) -> bool:
    """Whether the database has exactly the schema of this version."""
    async with await connect(url) as db:
        rows = await db.execute("select to_regclass('schema_migrations') is not null")
        row = await rows.fetchone()
        if row is None or not row[0]:
            return False
        rows = await db.execute("select name from schema_migrations")
        return {name for (name,) in await rows.fetchall()} == {m.name for m in migrations()}
