"""SQL of webhooks and their deliveries."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.db.transaction import Connection
from media_service.events.envelope import to_json
from media_service.events.model import RelayedEvent
from media_service.webhooks.model import Answer, Claim, Delivery, Webhook

SELECT = "select w.*, w.webhook_id::text as webhook_id from webhooks w"


def record(row: Mapping[str, Any]) -> Webhook:
    return Webhook(
        webhook_id=row["webhook_id"],
        resource=row["resource"],
        creator=Owner(row["owner_type"], row["owner_id"], row["org_id"]),
        # The id of a user contains the issuer already.
        principal=Principal(
            row["owner_id"],
            org_id=row["claimed_org_id"],
            org_issuer=row["claimed_issuer"],
            type=row["owner_type"],
        ),
        url=row["url"],
        types=tuple(row["types"]),
        description=row["description"],
        secret=row["secret"],
        disable_reason=row["disable_reason"],
        create_time=row["create_time"],
    )


async def insert(
    db: Connection,
    webhook_id: str,
    resource: str,
    org_id: str,
    creator: Principal,
    *,
    url: str,
    types: Sequence[str],
    description: str,
    secret: bytes,
) -> None:
    await db.execute(
        """
        insert into webhooks (webhook_id, resource, org_id, owner_type, owner_id, claimed_org_id,
                              claimed_issuer, url, types, description, secret)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            webhook_id,
            resource,
            org_id,
            creator.type,
            creator.id,
            creator.org_id,
            creator.org_issuer,
            url,
            list(types),
            description,
            secret,
        ),
    )


async def get(db: Connection, webhook_ids: Sequence[str]) -> dict[str, Webhook]:
    rows = await db.execute(
        f"{SELECT} where w.webhook_id = any(%s::uuid[])".encode(), (list(webhook_ids),)
    )
    return {row["webhook_id"]: record(row) async for row in rows}


async def of_resource(
    db: Connection,
    resource: str,
    owner: Owner | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Webhook]:
    """Newest first. `owner`: the creator of those without a resource."""
    whose = owner or Owner("", "", "")
    rows = await db.execute(
        f"""
        {SELECT} where w.resource = %s
          and (%s or (w.org_id, w.owner_type, w.owner_id) = (%s, %s, %s))
          and (w.create_time, w.webhook_id) < (%s::timestamptz, %s::uuid)
        order by w.create_time desc, w.webhook_id desc limit %s
        """.encode(),
        (
            resource,
            owner is None,
            whose.org_id,
            whose.type,
            whose.id,
            *(after or ("infinity", "ffffffff-ffff-ffff-ffff-ffffffffffff")),
            limit,
        ),
    )
    return [record(row) async for row in rows]


async def count(db: Connection, creator: Principal) -> int:
    rows = await db.execute(
        "select count(*) as number from webhooks where (owner_type, owner_id) = (%s, %s)",
        (creator.type, creator.id),
    )
    row = await rows.fetchone()
    return row["number"] if row else 0


async def remove(db: Connection, webhook_id: str) -> None:
    await db.execute("delete from webhooks where webhook_id = %s", (webhook_id,))


async def disable(db: Connection, webhook_id: str, reason: str) -> None:
    """Its deliveries end, too."""
    await db.execute(
        "update webhooks set disable_reason = %s where webhook_id = %s and disable_reason = ''",
        (reason, webhook_id),
    )
    await db.execute(
        "update webhook_deliveries set next_time = null, failed_time = now(), body = null,"
        " error = %s where webhook_id = %s and next_time is not null",
        (reason, webhook_id),
    )


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
        (webhook_id, *(after or ("infinity", "ffffffff-ffff-ffff-ffff-ffffffffffff")), limit),
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


async def add_deliveries(db: Connection, events: Sequence[RelayedEvent], source: str) -> None:
    """Adds a delivery of each event to each webhook that it matches, unless it was added before."""
    await db.execute(
        """
        insert into webhook_deliveries (webhook_id, event_id, event_type, body)
        select w.webhook_id, e.event_id, e.type, e.body
        from unnest(
            %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[]
        ) as e (event_id, type, org_id, project_id, owner_type, owner_id, body)
        cross join lateral (
            select * from webhooks w
            where w.resource = 'project:' || e.project_id and w.org_id = e.org_id
            union all
            select * from webhooks w
            where w.resource = 'organization:' || e.org_id and w.org_id = e.org_id
            union all
            select * from webhooks w
            where w.resource = ''
              and (w.org_id, w.owner_type, w.owner_id) = (e.org_id, e.owner_type, e.owner_id)
        ) w
        where w.disable_reason = '' and case when w.owner_type = 'service_account' then exists (
              select from service_accounts a
              where a.service_account_id = w.owner_id::uuid and a.delete_time is null
          ) else true end
          and (w.types = '{}' or w.types && array[e.type, split_part(e.type, '.', 1) || '.*'])
        on conflict do nothing
        """,
        (
            [event.event_id for event in events],
            [event.type for event in events],
            [event.org_id for event in events],
            [event.project_id for event in events],
            [event.owner_type for event in events],
            [event.owner_id for event in events],
            [to_json(event, source).decode() for event in events],
        ),
    )


async def claim(
    db: Connection, share: Mapping[str, int], per_webhook: int, limit: int, lease: timedelta
) -> list[Claim]:
    """Due deliveries, the first of each webhook. `share`: how many this process attempts already,
    by webhook. What is not finished within the lease is claimed again."""
    rows = await db.execute(
        """
        with due as (
            select d.webhook_id, d.event_id
            from webhooks w
            left join unnest(%s::uuid[], %s::int[]) as b (webhook_id, number) using (webhook_id)
            cross join lateral (
                select d.webhook_id, d.event_id from webhook_deliveries d
                where d.webhook_id = w.webhook_id and d.next_time <= now()
                order by d.next_time limit greatest(%s - coalesce(b.number, 0), 0)
                for update skip locked
            ) d
            limit %s
        )
        update webhook_deliveries d set next_time = now() + %s, attempts = d.attempts + 1
        from due where (d.webhook_id, d.event_id) = (due.webhook_id, due.event_id)
        returning d.webhook_id, d.event_id, d.attempts, d.body
        """,
        (list(share), list(share.values()), per_webhook, limit, lease),
    )
    return [
        Claim(str(row["webhook_id"]), str(row["event_id"]), row["attempts"], row["body"].encode())
        async for row in rows
    ]


async def finish(db: Connection, claim: Claim, answer: Answer, pause: timedelta | None) -> None:
    """Records an attempt, unless another one was claimed since. `pause`: until the next one; None:
    there is none."""
    await db.execute(
        """
        update webhook_deliveries set
            status = %(status)s, duration = %(duration)s, error = %(error)s,
            excerpt = %(excerpt)s, next_time = now() + %(pause)s::interval,
            body = case when %(pause)s::interval is null then null else body end,
            delivered_time = case when %(delivered)s then now() end,
            failed_time = case when %(pause)s::interval is null and not %(delivered)s then now() end
        where webhook_id = %(webhook_id)s and event_id = %(event_id)s and attempts = %(attempt)s
          and next_time is not null
        """,
        {
            "status": answer.status,
            "duration": timedelta(seconds=answer.seconds),
            "error": answer.error,
            "excerpt": answer.excerpt,
            "pause": pause,
            "delivered": answer.delivered,
            "webhook_id": claim.webhook_id,
            "event_id": claim.event_id,
            "attempt": claim.attempt,
        },
    )


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
