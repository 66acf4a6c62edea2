"""SQL of the partitions of the audit log: one per day, in UTC."""

from datetime import date, datetime

from psycopg.sql import SQL, Identifier, Literal

from media_service.db.transaction import Connection, Transaction

LOCK = 0x61756469  # "audi"
TABLES = ("audit_entries", "audit_origins")


async def lock(tx: Transaction) -> bool:
    """Lets one process at a time change partitions, until the transaction ends."""
    rows = await tx.execute("select pg_try_advisory_xact_lock(%s) as locked", (LOCK,))
    row = await rows.fetchone()
    return bool(row and row["locked"])


async def today(db: Connection) -> date:
    rows = await db.execute("select (now() at time zone 'UTC')::date as today")
    row = await rows.fetchone()
    assert row is not None  # noqa: S101 - such a statement has one row
    found: date = row["today"]
    return found


async def names(db: Connection, table: str) -> set[str]:
    """The partitions of a table, without its default."""
    rows = await db.execute(
        """
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = %s::regclass and c.relname <> %s
        """,
        (table, f"{table}_default"),
    )
    return {row["relname"] async for row in rows}


async def create(tx: Transaction, table: str, name: str, start: datetime, end: datetime) -> None:
    """Creates a partition, and moves what is in the default partition into it."""
    values = {
        "parent": Identifier(table),
        "default": Identifier(f"{table}_default"),
        "name": Identifier(name),
        "start": Literal(start),
        "end": Literal(end),
    }
    for statement in (
        "create table {name} (like {parent} including defaults including constraints)",
        """
        with moved as (
            delete from {default} where time >= {start} and time < {end} returning *
        )
        insert into {name} select * from moved
        """,
        "alter table {parent} attach partition {name} for values from ({start}) to ({end})",
    ):
        await tx.execute(SQL(statement).format(**values))


async def drop(tx: Transaction, name: str) -> None:
    await tx.execute(SQL("drop table {}").format(Identifier(name)))


async def remove_before(db: Connection, table: str, time: datetime) -> int:
    """Removes entries of the default partition."""
    default = Identifier(f"{table}_default")
    rows = await db.execute(
        SQL("delete from {} where time < {}").format(default, Literal(time)),
    )
    return rows.rowcount


async def remove_people(db: Connection, before: datetime, limit: int) -> int:
    """Removes the addresses of callers without a token."""
    rows = await db.execute(
        """
        delete from audit_people where person_id in (
            select person_id from audit_people
            where type = 'anonymous' and create_time < %s
            limit %s for update skip locked
        )
        """,
        (before, limit),
    )
    return rows.rowcount


async def remove_views(db: Connection, before: datetime, limit: int) -> int:
    rows = await db.execute(
        """
        delete from audit_recent_views where (person_id, media_id, version) in (
            select person_id, media_id, version from audit_recent_views
            where time < %s
            limit %s for update skip locked
        )
        """,
        (before, limit),
    )
    return rows.rowcount


async def remove_former_names(db: Connection, before: datetime, limit: int) -> int:
    """Removes former ids of callers, whose entries have expired."""
    done = await db.execute(
        """
        delete from audit_people where person_id in (
            select person_id from audit_people where former and name_time < %s limit %s
        )
        """,
        (before, limit),
    )
    return done.rowcount


async def remove_days(db: Connection, before: date, limit: int) -> int:
    rows = await db.execute(
        """
        delete from audit_days where ctid = any (array(
            select ctid from audit_days where day < %s limit %s for update skip locked
        ))
        """,
        (before, limit),
    )
    return rows.rowcount
