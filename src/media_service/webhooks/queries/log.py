"""SQL of the log of deliveries, and of what is sent again by hand."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from media_service.db.transaction import Connection
from media_service.events.envelope import to_json
from media_service.events.model import Cursor, Page, RelayedEvent
from media_service.events.queries import record as event_record
from media_service.webhooks.model import Delivery
from media_service.webhooks.queries.matching import FILTERED, SUBSCRIBED
from media_service.webhooks.queries.webhooks import FIRST


async def deliveries(
    db: Connection, webhook_id: str, after: tuple[datetime, str] | None, limit: int
) -> list[Delivery]:
    """Newest first."""
    rows = await db.execute(
        """
        select * from webhook_deliveries
        where webhook_id = %s and (create_time, event_id) < (%s::timestamptz, %s::uuid)
        order by create_time desc, event_id desc limit %s
        """,
        (webhook_id, *(after or FIRST), limit),
    )
    return [
        Delivery(
            str(row["webhook_id"]),
            str(row["event_id"]),
            row["event_type"],
            row["attempts"],
            row["status"],
            row["duration"],
            row["error"],
            row["excerpt"],
            row["create_time"],
            row["next_time"],
            row["delivered_time"],
            row["failed_time"],
        )
        async for row in rows
    ]


async def remove_ended(db: Connection, kept: timedelta, limit: int) -> int:
    """Removes deliveries that ended longer ago than `kept`."""
    done = await db.execute(
        """
        delete from webhook_deliveries where (webhook_id, event_id) in (
            select webhook_id, event_id from webhook_deliveries
            where next_time is null and coalesce(delivered_time, failed_time) < now() - %s
            limit %s
        )
        """,
        (kept, limit),
    )
    return done.rowcount


async def event_of(db: Connection, webhook_id: str, event_id: str) -> RelayedEvent | None:
    """The event of a delivery in the log, if both are still kept."""
    rows = await db.execute(
        """
        select e.*, l.epoch from webhook_deliveries d
        join events e on e.cursor = d.cursor and e.event_id = d.event_id
        cross join event_log l
        where d.webhook_id = %s and d.event_id = %s
        """,
        (webhook_id, event_id),
    )
    row = await rows.fetchone()
    return event_record(row, row["epoch"]) if row else None


async def cursor_at(db: Connection, epoch: int, time: datetime) -> Cursor:
    """A cursor before the events since a time. The order of cursors is that of times but for the
    length of a transaction, so a binary search finds the place."""
    rows = await db.execute(
        """
        with recursive search (low, high) as (
            select removed + 1, last_cursor + 1 from event_log
            union all
            select case when m.earlier then m.middle + 1 else s.low end,
                   case when m.earlier then s.high else m.middle end
            from search s cross join lateral (
                select (s.low + s.high) / 2 as middle, coalesce((
                    select e.time < %s from events e where e.cursor >= (s.low + s.high) / 2
                    order by e.cursor limit 1
                ), false) as earlier
            ) m
            where s.low < s.high
        )
        select min(low) - 1 as cursor from search where low >= high
        """,
        (time,),
    )
    row = await rows.fetchone()
    assert row  # noqa: S101 - the search ends
    return Cursor(epoch, row["cursor"])


async def matching_after(
    db: Connection, webhook_id: str, cursor: Cursor, examined: int, limit: int
) -> Page:
    """Of the next `examined` events, the first `limit` that a webhook subscribes to."""
    rows = await db.execute(
        f"""
        with batch as materialized (
            select * from events where cursor > %s order by cursor limit %s
        )
        select t.size, t.last, f.*
        from (select count(*) as size, max(cursor) as last from batch) t
        left join lateral (
            select e.* from webhooks w cross join batch e
            where w.webhook_id = %s and {SUBSCRIBED} and {FILTERED}
            order by e.cursor limit %s
        ) f on true
        order by f.cursor
        """.encode(),
        (cursor.number, examined, webhook_id, limit),
    )
    found = await rows.fetchall()
    size, last = found[0]["size"], found[0]["last"]
    events = tuple(event_record(r, cursor.epoch) for r in found if r["cursor"] is not None)
    if len(events) == limit:
        return Page(events, events[-1].cursor, full=True)
    return Page(events, Cursor(cursor.epoch, last or cursor.number), size == examined)


async def send_again(
    db: Connection,
    webhook_id: str,
    events: Sequence[RelayedEvent],
    source: str,
    *,
    delivered: bool,
    waiting: bool,
) -> int:
    """Makes deliveries of events due. `delivered`: also those that have arrived. `waiting`: also
    those that will be attempted later. Returns their number."""
    done = await db.execute(
        """
        insert into webhook_deliveries as d (webhook_id, event_id, event_type, cursor, body)
        select %(webhook_id)s, e.*
        from unnest(%(ids)s::uuid[], %(types)s::text[], %(cursors)s::bigint[], %(bodies)s::text[])
            as e (event_id, event_type, cursor, body)
        on conflict (webhook_id, event_id) do update set
            body = excluded.body, next_time = now(), attempts_before = d.attempts,
            delivered_time = null, failed_time = null
        where case when d.next_time is not null then %(waiting)s
              else d.delivered_time is null or %(delivered)s end
        """,
        {
            "webhook_id": webhook_id,
            "ids": [event.event_id for event in events],
            "types": [event.type for event in events],
            "cursors": [event.cursor.number for event in events],
            "bodies": [to_json(event, source).decode() for event in events],
            "delivered": delivered,
            "waiting": waiting,
        },
    )
    if done.rowcount:
        await db.execute(
            "update webhooks set due_time = least(due_time, now()) where webhook_id = %s",
            (webhook_id,),
        )
    return done.rowcount
