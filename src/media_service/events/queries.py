"""SQL of events."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from media_service.access.policy import Condition
from media_service.access.queries import Scope, media_keys, role, visible
from media_service.access.role import Role
from media_service.db.transaction import Connection, Transaction
from media_service.events.model import Cursor, Followed, Page, RelayedEvent
from media_service.events.status import SinkStatus, Status

COLUMNS = """
    cursor, event_id, type, subject, media_id, sequence, org_id, owner_type, owner_id, project_id,
    minimum_role, data, time
"""


# Most events are for everyone with a role, which the scope has found already.
ROLE = f"""
    (e.minimum_role <= {Role.VIEWER:d} or (
        select {role("e", media_keys("e", "media_id"))} from caller c
    ) >= e.minimum_role)
"""


ALL, NONE = Condition("true", ()), Condition("false", ())
# The scope does not contain what a collection shares.
SHARED = f"""
    (e.minimum_role <= {Role.VIEWER:d} and (
        select {role("sm", media_keys("sm", "media_id"))} from caller c cross join media sm
        where sm.media_id = %s
    ) > 0)
"""


def record(row: Mapping[str, Any], epoch: int) -> RelayedEvent:
    return RelayedEvent(
        Cursor(epoch, row["cursor"]),
        str(row["event_id"]),
        row["type"],
        row["subject"],
        row["time"],
        row["data"],
        str(row["media_id"] or ""),
        row["sequence"] or 0,
        row["org_id"],
        row["project_id"],
        row["owner_type"],
        row["owner_id"],
    )


async def relay(tx: Transaction, limit: int) -> int:
    """Gives the first events of the outbox their cursors. Returns their number; 0 if another relay
    does it."""
    # A statement of its own, so that the next one sees what the relay before has committed. It
    # locks nothing, and so writes nothing, while the outbox is empty.
    log = await tx.execute(
        "select last_cursor from event_log where exists (select from event_outbox)"
        " for update skip locked"
    )
    if not (row := await log.fetchone()):
        return 0
    rows = await tx.execute(
        f"""
        with taken as (
            delete from event_outbox where position in (
                select position from event_outbox order by position limit %s
            )
            returning position, time, event
        ), moved as (
            insert into events ({COLUMNS})
            select %s + row_number() over (order by position), e.event_id, e.type, e.subject,
                   e.media_id, e.sequence, e.org_id, e.owner_type, e.owner_id, e.project_id,
                   e.minimum_role, e.data, t.time
            from taken t
            cross join lateral jsonb_to_record(t.event) as e (
                event_id uuid, type text, subject text, media_id uuid, sequence bigint, org_id text,
                owner_type text, owner_id text, project_id text, minimum_role smallint, data jsonb
            )
            returning cursor
        )
        update event_log set last_cursor = greatest(last_cursor, moved.last)
        from (select max(cursor) as last, count(*) as count from moved) moved
        returning moved.count
        """.encode(),
        (limit, row["last_cursor"]),
    )
    moved = await rows.fetchone()
    return int(moved["count"]) if moved else 0


async def bounds(db: Connection) -> tuple[Cursor, Cursor]:
    """The cursor behind the last event that was removed, and the one behind the newest event."""
    rows = await db.execute("select epoch, removed, last_cursor from event_log")
    row = await rows.fetchone()
    assert row  # noqa: S101 - the migration inserts it
    return Cursor(row["epoch"], row["removed"]), Cursor(row["epoch"], row["last_cursor"])


async def after(db: Connection, cursor: Cursor, limit: int) -> Page:
    """The events after a cursor."""
    rows = await db.execute(
        f"select {COLUMNS} from events where cursor > %s order by cursor limit %s".encode(),
        (cursor.number, limit),
    )
    found = tuple([record(row, cursor.epoch) async for row in rows])
    return Page(found, found[-1].cursor if found else cursor, len(found) == limit)


async def visible_after(
    db: Connection, scope: Scope, where: Sequence[Condition], cursor: Cursor, limit: int
) -> Page:
    """Of the next `limit` events, those that meet all conditions and that the caller may see: both
    as things were when they happened, and as their media is now."""
    followed = Followed(scope, ALL, NONE)
    return await visible_in(db, followed, ALL, where, cursor, limit)


async def visible_of(
    db: Connection, followed: Followed, where: Sequence[Condition], cursor: Cursor, limit: int
) -> Page:
    """The same, of what is followed."""
    return await visible_in(db, followed, ALL, where, cursor, limit)


async def visible_of_media(
    db: Connection,
    scope: Scope,
    media_id: str,
    where: Sequence[Condition],
    cursor: Cursor,
    limit: int,
) -> Page:
    """The same, of the next `limit` events of a media; also if only a collection shares it."""
    of_media = Condition("media_id = %s", (media_id,))
    followed = Followed(scope, ALL, Condition(SHARED, (media_id,)))
    return await visible_in(db, followed, of_media, where, cursor, limit)


async def visible_in(
    db: Connection,
    followed: Followed,
    batch: Condition,
    where: Sequence[Condition],
    cursor: Cursor,
    limit: int,
) -> Page:
    now = f"(m.media_id is null or {visible('m', 'media_id')})"
    seen = f"(({visible('e', 'media_id')} and {now} and {ROLE}) or {followed.shared.sql})"
    scope, selected = followed.scope, [followed.selected, *where]
    conditions = [seen, *(each.sql for each in selected)]
    query = f"""
        with {scope.sql}, batch as materialized (
            select * from events where {batch.sql} and cursor > %s order by cursor limit %s
        ), seen as (
            select e.* from batch e left join media m on m.media_id = e.media_id
            where {" and ".join(conditions)}
        )
        select t.size, t.last, s.*
        from (select count(*) as size, max(cursor) as last from batch) t
        left join seen s on true
        order by s.cursor
    """
    params = [value for each in (followed.shared, *selected) for value in each.params]
    rows = await db.execute(
        query.encode(), (*scope.params, *batch.params, cursor.number, limit, *params)
    )
    found = await rows.fetchall()
    last = found[0]["last"]
    return Page(
        tuple(record(row, cursor.epoch) for row in found if row["cursor"] is not None),
        cursor if last is None else Cursor(cursor.epoch, last),
        found[0]["size"] == limit,
    )


async def register_sink(db: Connection, name: str) -> None:
    """A new sink begins with the events that come from now on."""
    await db.execute(
        "insert into event_sinks (name, cursor) select %s, last_cursor from event_log"
        " on conflict (name) do update set seen_time = now()",
        (name,),
    )


async def hold_sink(
    db: Connection, name: str, holder: str, presence: int | None, lease: timedelta
) -> tuple[Cursor, int] | None:
    """Begins or renews the right to deliver to a sink. Returns where it is, and how many deliveries
    have failed since the last one that succeeded; None: another process has the right, which ends
    with its lease, or at once if that process dies."""
    rows = await db.execute(
        """
        update event_sinks s
        set holder = %(holder)s, presence = %(presence)s, lease_until = now() + %(lease)s,
            seen_time = now()
        from event_log l
        where s.name = %(name)s and (
            s.holder = %(holder)s or s.lease_until < now()
            or pg_try_advisory_xact_lock(s.presence)
        )
        returning l.epoch, s.cursor, s.attempts
        """,
        {"name": name, "holder": holder, "presence": presence, "lease": lease},
    )
    row = await rows.fetchone()
    return (Cursor(row["epoch"], row["cursor"]), row["attempts"]) if row else None


async def advance_sink(
    db: Connection, name: str, holder: str, cursor: Cursor, lease: timedelta
) -> bool:
    """Records that a sink has everything up to a cursor. Returns whether the holder still has the
    right to deliver."""
    rows = await db.execute(
        "update event_sinks set cursor = %s, lease_until = now() + %s, seen_time = now(),"
        " failing_since = null, attempts = 0, error = ''"
        " where name = %s and holder = %s",
        (cursor.number, lease, name, holder),
    )
    return rows.rowcount == 1


async def delay_sink(db: Connection, name: str, holder: str, error: str, lease: timedelta) -> None:
    """Records that a delivery failed, which its holder will repeat. The sink stays in use, so that
    its events are kept for as long as it fails."""
    await db.execute(
        "update event_sinks set attempts = attempts + 1, error = %s, seen_time = now(),"
        " failing_since = coalesce(failing_since, now()), lease_until = now() + %s"
        " where name = %s and holder = %s",
        (error, lease, name, holder),
    )


async def release_sinks(db: Connection, holder: str) -> None:
    await db.execute(
        "update event_sinks set lease_until = '-infinity' where holder = %s", (holder,)
    )


async def status(db: Connection) -> Status:
    rows = await db.execute(
        """
        select now() as time, l.epoch, l.removed, l.last_cursor, w.count, w.since
        from event_log l cross join (
            select count(*) as count, min(time) as since
            from (select time from event_outbox order by position limit 10000) waiting
        ) w
        """
    )
    log = await rows.fetchone()
    assert log  # noqa: S101 - the migration inserts it
    found = await db.execute(
        """
        select s.name, s.cursor, s.failing_since, s.attempts, s.error, s.seen_time, (
            select e.time from events e where e.cursor > s.cursor order by e.cursor limit 1
        ) as since
        from event_sinks s order by s.name
        """
    )
    sinks = [
        SinkStatus(
            row["name"],
            Cursor(log["epoch"], row["cursor"]),
            max(log["last_cursor"] - row["cursor"], 0),
            row["since"],
            row["failing_since"],
            row["attempts"],
            row["error"],
            row["seen_time"],
        )
        async for row in found
    ]
    return Status(
        log["time"],
        Cursor(log["epoch"], log["last_cursor"]),
        Cursor(log["epoch"], log["removed"]),
        log["count"],
        log["since"],
        sinks,
    )


async def new_epoch(db: Connection) -> Cursor:
    """Makes all cursors invalid that consumers have. Sinks go on where they are."""
    rows = await db.execute(
        "update event_log set epoch = greatest("
        " epoch + 1, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)"
        " returning epoch, last_cursor"
    )
    row = await rows.fetchone()
    assert row  # noqa: S101 - the migration inserts it
    return Cursor(row["epoch"], row["last_cursor"])


async def remove_old(db: Connection, older_than: timedelta, limit: int) -> int:
    """Removes the oldest events, unless a sink that was in use lately still needs them."""
    rows = await db.execute(
        """
        with due as (
            select cursor from (
                select cursor, time from events order by cursor limit %(limit)s
            ) oldest
            where time < now() - %(age)s and cursor <= coalesce((
                select min(s.cursor) from event_sinks s where s.seen_time > now() - %(age)s
            ), cursor)
            order by cursor
        ), removed as (
            delete from events e using due where e.cursor = due.cursor returning e.cursor
        ), noted as (
            update event_log set removed = greatest(removed, r.last)
            from (select max(cursor) as last from removed) r
        )
        select count(*) as count from removed
        """,
        {"age": older_than, "limit": limit},
    )
    row = await rows.fetchone()
    return int(row["count"]) if row else 0


async def forget_sinks(db: Connection, older_than: timedelta) -> int:
    """Removes the places of sinks that no worker has had in its settings for so long."""
    rows = await db.execute("delete from event_sinks where seen_time < now() - %s", (older_than,))
    return rows.rowcount
