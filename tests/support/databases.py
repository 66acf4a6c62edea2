"""Databases on the PostgreSQL of a test run."""

import shutil
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from media_service.ids import new_id

# Several times the size of the databases of all concurrent tests.
MEMORY_BYTES = 4 << 30


def roomy_memory() -> Path | None:
    """A folder in memory, if the machine has enough. Each test has its own database of a thousand
    files, and some disks need a quarter of a second to remove those."""
    shared = Path("/dev/shm")  # noqa: S108 - a uniquely named folder is created in it
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > MEMORY_BYTES
    return shared if roomy else None


# Without what protects only against power loss and what only backups need. No test of a database
# simulates either.
HURRIED = (
    *("fsync=off", "full_page_writes=off"),
    *("wal_level=minimal", "max_wal_senders=0", "summarize_wal=off"),
    *("max_wal_size=4GB", "checkpoint_timeout=1h"),
)


def with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


# Deleting from larger tables takes longer than another database.
MAX_TABLE_BYTES = 1 << 20

# Everything but rows: tables, constraints, functions, triggers, settings and applied migrations.
# `xmin` changes with every change of a definition.
SCHEMA = """
select md5(concat(
  (select string_agg(concat(c.oid, c.xmin, c.relname), ',' order by c.oid)
     from pg_class c where c.relnamespace = 'public'::regnamespace),
  (select string_agg(concat(a.attrelid, a.attnum, a.xmin), ',' order by a.attrelid, a.attnum)
     from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace),
  (select string_agg(concat(oid, xmin), ',' order by oid)
     from pg_constraint where connamespace = 'public'::regnamespace),
  (select string_agg(concat(oid, xmin), ',' order by oid)
     from pg_proc where pronamespace = 'public'::regnamespace),
  (select string_agg(concat(oid, xmin), ',' order by oid) from pg_trigger),
  (select string_agg(s.setconfig::text, ',') from pg_db_role_setting s
     join pg_database d on d.oid = s.setdatabase where d.datname = current_database()),
  (select string_agg(m::text, ',' order by name) from schema_migrations m)
))
"""

TABLES = """
select relname, pg_relation_size(oid) from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r'
  and relname not in ('schema_migrations', 'event_log')
"""

# What a running server has recorded about itself and its stores.
OF_SERVERS = frozenset({"audit_writers", "event_sinks", "stores"})

END_OTHERS = """
select pg_terminate_backend(pid, 10000) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


class CleanDatabases:
    """Migrated databases without rows, for one test after another.

    A database is emptied after each test, which takes a tenth of the time of creating one. If a
    test changed the schema or wrote many rows, its database is dropped instead.

    Each database keeps the connection that empties it, because a new one would first have to load
    the definitions of all tables.
    """

    def __init__(self, postgres: str, template: str) -> None:
        self._postgres = postgres
        self._template = template
        with psycopg.connect(with_database(postgres, template)) as connection:
            self._schema = schema_of(connection)
        self._clean: list[str] = []
        self._connections: dict[str, psycopg.Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._clean:
            self._drop(name)

    @contextmanager
    def take(self) -> Iterator[str]:
        """Yields the URL of a database that is the caller's for the context."""
        name = self._clean.pop() if self._clean else self._create()
        yield with_database(self._postgres, name)
        if self._empty(self._connection(name)):
            self._clean.append(name)
        else:
            self._drop(name)

    def clear(self, url: str) -> bool:
        """Deletes all rows of a database that was taken, but for those of its running server.
        Returns False if the test changed the schema or wrote many rows, or if the server needs the
        rows at this moment."""
        try:
            return self._delete(self._connection(urlsplit(url).path[1:]), OF_SERVERS)
        except psycopg.errors.DeadlockDetected:
            return False

    def _create(self) -> str:
        name = unique_name("test")
        # Twice as fast as to write each page ahead, which is the default.
        clone = f"create database {name} template {self._template} strategy file_copy"
        administer(self._postgres, clone)
        return name

    def _connection(self, name: str) -> psycopg.Connection:
        kept = self._connections.get(name)
        if kept and answers(kept):
            return kept
        url = with_database(self._postgres, name)
        connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        # Foreign keys are not checked.
        connection.execute("set session_replication_role = replica")
        self._connections[name] = connection
        return connection

    def _empty(self, connection: psycopg.Connection) -> bool:
        """Deletes all rows. Returns whether the database is then like a new one."""
        connection.execute(END_OTHERS)
        return self._delete(connection)

    def _delete(self, connection: psycopg.Connection, kept: AbstractSet[str] = frozenset()) -> bool:
        if schema_of(connection) != self._schema:
            return False
        tables = connection.execute(TABLES).fetchall()
        if any(size > MAX_TABLE_BYTES for _, size in tables):
            return False
        with connection.pipeline():
            for table, size in tables:
                if size and table not in kept:
                    connection.execute(sql.SQL("delete from {}").format(sql.Identifier(table)))
        return True

    def _drop(self, name: str) -> None:
        if connection := self._connections.pop(name, None):
            connection.close()
        administer(self._postgres, f"drop database {name} with (force)")


def administer(postgres: str, statement: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(statement.encode())


def answers(connection: psycopg.Connection) -> bool:
    """Whether no test has ended it."""
    try:
        connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


def schema_of(connection: psycopg.Connection) -> object:
    return connection.execute(SCHEMA).fetchone()


def unique_name(prefix: str) -> str:
    return f"{prefix}_{new_id().replace('-', '')}"
