"""SQL of webhooks."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from psycopg.sql import SQL, Identifier, Placeholder

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.db.transaction import Connection
from media_service.webhooks.model import Sealed, Webhook

SELECT = "select w.*, w.webhook_id::text as webhook_id from webhooks w"
FIRST = ("infinity", "ffffffff-ffff-ffff-ffff-ffffffffffff")


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
        project_ids=tuple(row["project_ids"]),
        description=row["description"],
        sealed=Sealed(row["secret_key"], row["secret"], row["old_secret"]),
        old_secret_expire_time=row["old_secret_expire_time"],
        disable_reason=row["disable_reason"],
        failing_since=row["failing_since"],
        create_time=row["create_time"],
    )


async def insert(
    db: Connection,
    webhook_id: str,
    resource: str,
    org_id: str,
    creator: Principal,
    sealed: Sealed,
    settings: Mapping[str, Any],
) -> None:
    """`settings`: columns that `update` changes, too."""
    columns = {
        "webhook_id": webhook_id,
        "resource": resource,
        "org_id": org_id,
        "owner_type": creator.type,
        "owner_id": creator.id,
        "claimed_org_id": creator.org_id,
        "claimed_issuer": creator.org_issuer,
        "secret": sealed.secret,
        "secret_key": sealed.key,
        **settings,
    }
    names = SQL(", ").join(map(Identifier, columns))
    values = SQL(", ").join(map(Placeholder, columns))
    await db.execute(SQL("insert into webhooks ({}) values ({})").format(names, values), columns)


async def update(db: Connection, webhook_id: str, settings: Mapping[str, Any]) -> None:
    changed = [SQL("{} = {}").format(Identifier(n), Placeholder(n)) for n in settings]
    await db.execute(
        SQL("update webhooks set {} where webhook_id = %(id)s").format(SQL(", ").join(changed)),
        {**settings, "id": webhook_id},
    )


async def get(db: Connection, webhook_id: str) -> Webhook | None:
    rows = await db.execute(f"{SELECT} where w.webhook_id = %s".encode(), (webhook_id,))
    row = await rows.fetchone()
    return record(row) if row else None


async def lock(db: Connection, webhook_id: str) -> None:
    """Lets changes of a webhook wait for each other. Deliveries of it may be added meanwhile."""
    await db.execute("select from webhooks where webhook_id = %s for no key update", (webhook_id,))


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
            *(after or FIRST),
            limit,
        ),
    )
    return [record(row) async for row in rows]


async def count(db: Connection, creator: Principal, resource: str) -> int:
    """The number of those of the creator, or of the resource if it has more."""
    rows = await db.execute(
        """
        select greatest(
            (select count(*) from webhooks where (owner_type, owner_id) = (%s, %s)),
            (select count(*) from webhooks where resource = %s and resource <> '')
        ) as number
        """,
        (creator.type, creator.id, resource),
    )
    row = await rows.fetchone()
    return row["number"] if row else 0


async def remove(db: Connection, webhook_id: str) -> None:
    await db.execute("delete from webhooks where webhook_id = %s", (webhook_id,))


async def disable(db: Connection, webhook_id: str, reason: str) -> bool:
    """Ends its deliveries, too. Returns whether it was enabled."""
    done = await db.execute(
        "update webhooks set disable_reason = %s, due_time = null"
        " where webhook_id = %s and disable_reason = ''",
        (reason, webhook_id),
    )
    await db.execute(
        "update webhook_deliveries set next_time = null, failed_time = now(), body = null,"
        " error = %s where webhook_id = %s and next_time is not null",
        (reason, webhook_id),
    )
    return done.rowcount == 1


async def enable(db: Connection, webhook_id: str) -> None:
    await db.execute(
        "update webhooks set disable_reason = '', failing_since = null where webhook_id = %s",
        (webhook_id,),
    )


async def replace_secret(
    db: Connection, webhook_id: str, sealed: Sealed, overlap: timedelta
) -> None:
    """`overlap`: how long the old secret of `sealed` signs, too."""
    await db.execute(
        "update webhooks set secret_key = %(key)s, secret = %(secret)s, old_secret = %(old)s,"
        " old_secret_expire_time ="
        " case when %(old)s::bytea is not null then now() + %(overlap)s end"
        " where webhook_id = %(id)s",
        {
            "key": sealed.key,
            "secret": sealed.secret,
            "old": sealed.old_secret,
            "overlap": overlap,
            "id": webhook_id,
        },
    )


async def remove_old_secrets(db: Connection) -> int:
    """Removes secrets that sign no more."""
    done = await db.execute(
        "update webhooks set old_secret = null, old_secret_expire_time = null"
        " where old_secret_expire_time < now()"
    )
    return done.rowcount


async def sealed_otherwise(
    db: Connection, key: str, after: str | None, limit: int
) -> list[tuple[str, Sealed]]:
    """Webhooks after an id whose secrets are not sealed with a key."""
    rows = await db.execute(
        "select webhook_id::text as webhook_id, secret_key, secret, old_secret from webhooks"
        " where secret_key <> %s and (%s::uuid is null or webhook_id > %s::uuid)"
        " order by webhook_id limit %s",
        (key, after, after, limit),
    )
    return [
        (row["webhook_id"], Sealed(row["secret_key"], row["secret"], row["old_secret"]))
        async for row in rows
    ]


async def reseal(db: Connection, webhook_id: str, old: Sealed, new: Sealed) -> bool:
    """Replaces the same secrets in another form, unless they were replaced by others."""
    done = await db.execute(
        "update webhooks set secret_key = %s, secret = %s, old_secret = %s where webhook_id = %s"
        " and (secret, old_secret) is not distinct from (%s, %s)",
        (new.key, new.secret, new.old_secret, webhook_id, old.secret, old.old_secret),
    )
    return done.rowcount == 1


async def unsent(db: Connection, waiting: timedelta, limit: int) -> list[Webhook]:
    """Webhooks whose deliveries no worker has sent for so long."""
    rows = await db.execute(
        f"{SELECT} where w.due_time < now() - %s order by w.due_time limit %s".encode(),
        (waiting, limit),
    )
    return [record(row) async for row in rows]


async def failed(db: Connection, webhook_id: str, pause: timedelta | None) -> datetime | None:
    """Records that an attempt failed. `pause`: until the next one; None: there is none. Returns the
    first failure since an attempt succeeded; None: the webhook is gone."""
    rows = await db.execute(
        "update webhooks set failing_since = coalesce(failing_since, now()),"
        " due_time = least(due_time, now() + %s::interval) where webhook_id = %s"
        " returning failing_since",
        (pause, webhook_id),
    )
    row = await rows.fetchone()
    return row["failing_since"] if row else None


async def succeeded(db: Connection, webhook_id: str) -> None:
    await db.execute(
        "update webhooks set failing_since = null where webhook_id = %s", (webhook_id,)
    )
