"""SQL of deliveries that are due: adding, claiming and finishing them.

`webhooks.due_time` is never later than the first of the deliveries of a webhook, so a worker finds
those with something to do by one index, and never visits the others.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from media_service.db.transaction import Connection, Transaction
from media_service.events.envelope import to_json
from media_service.events.model import RelayedEvent
from media_service.webhooks.model import Claim, DueWebhook, Finished
from media_service.webhooks.queries.matching import (
    FILTERED,
    OF_ORGANIZATION,
    OF_OWNER,
    OF_PROJECT,
)
from media_service.webhooks.queries.webhooks import record

# Whose share of the attempts its deliveries use up: all service accounts of an owner share one.
ACCOUNT = """
    coalesce((
        select a.owner_type || ':' || a.owner_id from service_accounts a
        where w.owner_type = 'service_account'
          and a.service_account_id
              = case when w.owner_type = 'service_account' then w.owner_id::uuid end
    ), w.owner_type || ':' || w.owner_id)
"""
OPEN = f"w.webhook_id <> all(%(webhooks)s::uuid[]) and {ACCOUNT} <> all(%(accounts)s)"


async def add(db: Connection, events: Sequence[RelayedEvent], source: str) -> int:
    """Adds a delivery of each event to each webhook that it matches, unless it was added before.
    Returns the number of webhooks that have become due."""
    done = await db.execute(
        f"""
        with added as (
            insert into webhook_deliveries (webhook_id, event_id, event_type, cursor, body)
            select w.webhook_id, e.event_id, e.type, e.cursor, e.body
            from unnest(
                %s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[],
                %s::text[], %s::text[]
            ) as e (event_id, type, cursor, org_id, project_id, owner_type, owner_id, body)
            cross join lateral (
                select * from webhooks w where {OF_PROJECT}
                union all
                select * from webhooks w where {OF_ORGANIZATION}
                union all
                select * from webhooks w where {OF_OWNER}
            ) w
            where {FILTERED}
            on conflict do nothing
            returning webhook_id
        )
        update webhooks w set due_time = now()
        where w.webhook_id in (select webhook_id from added)
          and (w.due_time is null or w.due_time > now())
        """.encode(),
        (
            [event.event_id for event in events],
            [event.type for event in events],
            [event.cursor.number for event in events],
            [event.org_id for event in events],
            [event.project_id for event in events],
            [event.owner_type for event in events],
            [event.owner_id for event in events],
            [to_json(event, source).decode() for event in events],
        ),
    )
    return done.rowcount


async def due_webhooks(
    tx: Transaction, full: tuple[Sequence[str], Sequence[str]], limit: int
) -> list[DueWebhook]:
    """Webhooks with deliveries that are due, which no other worker claims from at this moment, the
    longest due first. `full`: webhooks and accounts to leave out."""
    rows = await tx.execute(
        f"""
        select w.*, w.webhook_id::text as webhook_id, {ACCOUNT} as account from webhooks w
        where w.due_time <= now() and {OPEN}
        order by w.due_time limit %(limit)s
        for no key update of w skip locked
        """.encode(),
        {"webhooks": list(full[0]), "accounts": list(full[1]), "limit": limit},
    )
    return [DueWebhook(record(row), row["account"]) async for row in rows]


async def seconds_until_due(
    db: Connection, full: tuple[Sequence[str], Sequence[str]]
) -> float | None:
    """Until the first delivery of any other webhook; None: none waits."""
    rows = await db.execute(
        f"""
        select extract(epoch from w.due_time - now()) as seconds from webhooks w
        where w.due_time is not null and {OPEN} order by w.due_time limit 1
        """.encode(),
        {"webhooks": list(full[0]), "accounts": list(full[1])},
    )
    row = await rows.fetchone()
    return float(row["seconds"]) if row else None


async def claim(tx: Transaction, rooms: Mapping[str, int], lease: timedelta) -> list[Claim]:
    """Due deliveries, the first of each webhook, which `due_webhooks` has returned. `rooms`: how
    many, by webhook. What is not finished within the lease is claimed again."""
    rows = await tx.execute(
        """
        with due as (
            select d.webhook_id, d.event_id
            from unnest(%s::uuid[], %s::int[]) as w (webhook_id, room)
            cross join lateral (
                select d.webhook_id, d.event_id from webhook_deliveries d
                where d.webhook_id = w.webhook_id and d.next_time <= now()
                order by d.next_time limit w.room
                for update skip locked
            ) d
        )
        update webhook_deliveries d set next_time = now() + %s, attempts = d.attempts + 1
        from due where (d.webhook_id, d.event_id) = (due.webhook_id, due.event_id)
        returning d.webhook_id, d.event_id, d.attempts, d.attempts_before, d.body
        """,
        (list(rooms), list(rooms.values()), lease),
    )
    claims = [
        Claim(
            str(row["webhook_id"]),
            str(row["event_id"]),
            row["attempts"],
            row["attempts"] - row["attempts_before"],
            row["body"].encode(),
        )
        async for row in rows
    ]
    # A statement of its own, which sees what the one before has changed.
    await tx.execute(
        """
        update webhooks w set due_time = (
            select d.next_time from webhook_deliveries d
            where d.webhook_id = w.webhook_id and d.next_time is not null
            order by d.next_time limit 1
        )
        where w.webhook_id = any(%s::uuid[])
        """,
        (list(rooms),),
    )
    return claims


async def finish(db: Connection, attempts: Sequence[Finished]) -> None:
    """Records attempts, except those of deliveries of which another one was claimed since."""
    await db.execute(
        """
        update webhook_deliveries d set
            status = f.status, duration = f.duration, error = f.error, excerpt = f.excerpt,
            next_time = now() + f.pause, body = case when f.pause is null then null else body end,
            delivered_time = case when f.delivered then now() end,
            failed_time = case when f.pause is null and not f.delivered then now() end
        from unnest(
            %s::uuid[], %s::uuid[], %s::int[], %s::int[], %s::interval[], %s::text[], %s::text[],
            %s::interval[], %s::boolean[]
        ) as f (webhook_id, event_id, number, status, duration, error, excerpt, pause, delivered)
        where (d.webhook_id, d.event_id) = (f.webhook_id, f.event_id) and d.attempts = f.number
          and d.next_time is not null
        """,
        (
            [each.claim.webhook_id for each in attempts],
            [each.claim.event_id for each in attempts],
            [each.claim.number for each in attempts],
            [each.answer.status for each in attempts],
            [timedelta(seconds=each.answer.seconds) for each in attempts],
            [each.answer.error for each in attempts],
            [each.answer.excerpt for each in attempts],
            [each.pause for each in attempts],
            [each.answer.delivered for each in attempts],
        ),
    )


async def repair(db: Connection) -> int:
    """Makes webhooks due that have waiting deliveries and do not know it, such as those that a
    worker of an older version has added. Returns their number."""
    done = await db.execute(
        """
        update webhooks w set due_time = now()
        where w.due_time is null and w.disable_reason = '' and exists (
            select from webhook_deliveries d
            where d.webhook_id = w.webhook_id and d.next_time is not null
        )
        """
    )
    return done.rowcount
