"""SQL of service accounts and API keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from media_service.access.lists import Key, Table, after_sql, order_sql, page_of
from media_service.access.owner import Owner
from media_service.access.policy import Condition
from media_service.access.principal import Principal
from media_service.access.queries import (
    CALLER,
    Scope,
    caller_params,
    owner_keys,
    role,
)
from media_service.access.role import Role
from media_service.credentials.model import SERVICE_ACCOUNT, ApiKey, KeyState, ServiceAccount
from media_service.db.transaction import Connection, Rows

ACCOUNT_COLUMNS = "a.*, a.service_account_id::text as service_account_id"
KEY_COLUMNS = """
    k.*, k.api_key_id::text as api_key_id, k.service_account_id::text as service_account_id
"""
KEYS = "api_keys k join service_accounts a using (service_account_id)"
ROLE = role("a", owner_keys("a"))
ACCOUNTS = Table("service_accounts", "a", "service_account_id", media_id=None, in_projects=False)
# With the owner of their account.
OWNED_KEYS = Table("api_keys", "k", "api_key_id", media_id=None, in_projects=False)
NEWEST = (Key("create_time", descending=True), Key("service_account_id", descending=True))
NEWEST_KEYS = (Key("create_time", descending=True), Key("api_key_id", descending=True))
ACTIVE = "k.revoke_time is null and (k.expire_time is null or k.expire_time > now())"

COUNT_KEYS = (
    f"select count(*) as number from api_keys k where k.service_account_id = %s and {ACTIVE}"
)

USABLE = f"""
    select c.account::text as account, c.key::text as key
    from unnest(%s::uuid[], %s::uuid[]) as c (account, key)
    join service_accounts a on a.service_account_id = c.account and a.delete_time is null
    left join api_keys k on k.api_key_id = c.key and {ACTIVE}
    where c.key is null or k.api_key_id is not null
"""


def owner_of(row: Mapping[str, Any]) -> Owner:
    return Owner(row["owner_type"], row["owner_id"], row["org_id"])


def account_record(row: Mapping[str, Any]) -> ServiceAccount:
    return ServiceAccount(
        row["service_account_id"],
        owner_of(row),
        row["display_name"],
        row["create_time"],
        row["delete_time"],
        Role(row["role"]),
    )


def key_record(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        row["api_key_id"],
        row["service_account_id"],
        owner_of(row),
        row["prefix"],
        row["display_name"],
        None if row["scopes"] is None else tuple(row["scopes"]),
        row["create_time"],
        row["expire_time"],
        row["revoke_time"],
        row["last_use_time"],
        Role(row["role"]),
    )


async def key_states(
    db: Connection, prefixes: Sequence[str], pause: timedelta
) -> dict[str, KeyState]:
    """The states of keys by their prefix. `pause`: the time between two records of their use."""
    rows = await db.execute(
        """
        select k.prefix, k.api_key_id::text as api_key_id,
               k.service_account_id::text as service_account_id, a.org_id, a.owner_type, a.owner_id,
               k.secret_hash, k.scopes,
               k.revoke_time is null and a.delete_time is null as active,
               coalesce(k.expire_time <= now(), false) as expired,
               coalesce(k.last_use_time < now() - %s, true) as use_due
        from api_keys k join service_accounts a using (service_account_id)
        where k.prefix = any(%s)
        """,
        (pause, list(prefixes)),
    )
    return {
        row["prefix"]: KeyState(
            row["api_key_id"],
            row["service_account_id"],
            owner_of(row),
            bytes(row["secret_hash"]),
            None if row["scopes"] is None else frozenset(row["scopes"]),
            row["active"],
            row["expired"],
            row["use_due"],
        )
        async for row in rows
    }


async def usable(
    db: Connection, callers: Sequence[tuple[str, str | None]]
) -> set[tuple[str, str | None]]:
    """Those service accounts among these that exist and whose API key works, if they have one."""
    rows = await db.execute(
        USABLE.encode(), ([account for account, _ in callers], [key for _, key in callers])
    )
    return {(row["account"], row["key"]) async for row in rows}


async def accounts(db: Connection, account_ids: Sequence[str]) -> dict[str, ServiceAccount]:
    rows = await db.execute(
        f"select {ACCOUNT_COLUMNS}, 0 as role from service_accounts a"
        " where a.service_account_id = any(%s::uuid[])".encode(),
        (list(account_ids),),
    )
    return {row["service_account_id"]: account_record(row) async for row in rows}


async def record_use(db: Connection, used: Mapping[str, datetime], pause: timedelta) -> None:
    """Records when keys were used, unless a use of the same key was recorded shortly before."""
    await db.execute(
        "update api_keys k set last_use_time = u.time"
        " from unnest(%s::uuid[], %s::timestamptz[]) as u (api_key_id, time)"
        " where k.api_key_id = u.api_key_id"
        " and (k.last_use_time is null or k.last_use_time < u.time - %s)",
        (list(used), list(used.values()), pause),
    )


async def insert_account(
    db: Connection, service_account_id: str, owner: Owner, display_name: str
) -> None:
    await db.execute(
        "insert into service_accounts"
        " (service_account_id, org_id, owner_type, owner_id, display_name)"
        " values (%s, %s, %s, %s, %s)",
        (service_account_id, owner.org_id, owner.type, owner.id, display_name),
    )


async def lock_account(
    db: Connection, service_account_id: str, principal: Principal
) -> ServiceAccount | None:
    """Returns an account with the role of the caller, and locks it."""
    rows = await db.execute(
        f"select {ACCOUNT_COLUMNS}, {ROLE} as role from {CALLER} cross join service_accounts a"
        " where a.service_account_id = %s for update of a".encode(),
        (*caller_params(principal), service_account_id),
    )
    row = await rows.fetchone()
    return account_record(row) if row else None


async def count_accounts(db: Connection, owner: Owner) -> int:
    rows = await db.execute(
        "select count(*) as number from service_accounts"
        " where (org_id, owner_type, owner_id) = (%s, %s, %s) and delete_time is null",
        (owner.org_id, owner.type, owner.id),
    )
    return await number(rows)


async def account_page(
    db: Connection, scope: Scope, after: tuple[datetime, str] | None, limit: int
) -> list[ServiceAccount]:
    """The accounts in scope that are not deleted, newest first."""
    where = [Condition("a.delete_time is null", ())]
    if after is not None:
        where.append(after_sql("a", NEWEST, after))
    page = page_of(ACCOUNTS, scope, where, NEWEST, limit)
    rows = await db.execute(
        f"with {page.sql} select {ACCOUNT_COLUMNS}, {Role.MANAGER:d} as role"
        " from page join service_accounts a on a.service_account_id = page.id"
        f" order by {order_sql('a', NEWEST)}".encode(),
        page.params,
    )
    return [account_record(row) async for row in rows]


async def delete_account(db: Connection, service_account_id: str) -> None:
    """Ends its keys and its grants as well."""
    await db.execute(
        "update service_accounts set delete_time = now() where service_account_id = %s",
        (service_account_id,),
    )
    await db.execute(
        "update api_keys set revoke_time = now()"
        " where service_account_id = %s and revoke_time is null",
        (service_account_id,),
    )
    grantee = f"{SERVICE_ACCOUNT}:{service_account_id}"
    await db.execute("delete from access_grants where grantee = %s", (grantee,))
    await db.execute("delete from group_members where member = %s", (grantee,))


async def insert_key(
    db: Connection,
    api_key_id: str,
    service_account_id: str,
    prefix: str,
    secret_hash: bytes,
    display_name: str,
    scopes: Sequence[str] | None,
    expire_time: datetime | None,
) -> None:
    await db.execute(
        "insert into api_keys (api_key_id, service_account_id, org_id, owner_type, owner_id,"
        " prefix, secret_hash, display_name, scopes, expire_time)"
        " select %s, a.service_account_id, a.org_id, a.owner_type, a.owner_id, %s, %s, %s, %s, %s"
        " from service_accounts a where a.service_account_id = %s",
        (
            api_key_id,
            prefix,
            secret_hash,
            display_name,
            None if scopes is None else list(scopes),
            expire_time,
            service_account_id,
        ),
    )


async def lock_key(db: Connection, api_key_id: str, principal: Principal) -> ApiKey | None:
    """Returns a key with the role of the caller, and locks it."""
    rows = await db.execute(
        f"select {KEY_COLUMNS}, {ROLE} as role from {CALLER} cross join {KEYS}"
        " where k.api_key_id = %s for update of k".encode(),
        (*caller_params(principal), api_key_id),
    )
    row = await rows.fetchone()
    return key_record(row) if row else None


async def count_keys(db: Connection, service_account_id: str) -> int:
    rows = await db.execute(COUNT_KEYS.encode(), (service_account_id,))
    return await number(rows)


async def key_page(
    db: Connection,
    scope: Scope,
    service_account_id: str | None,
    prefix: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[ApiKey]:
    """The keys of the accounts in scope, newest first."""
    where = []
    for column, value in {"service_account_id": service_account_id, "prefix": prefix}.items():
        if value is not None:
            where.append(Condition(f"k.{column} = %s", (value,)))
    if after is not None:
        where.append(after_sql("k", NEWEST_KEYS, after))
    page = page_of(OWNED_KEYS, scope, where, NEWEST_KEYS, limit)
    rows = await db.execute(
        f"with {page.sql} select {KEY_COLUMNS}, {Role.MANAGER:d} as role"
        f" from page join api_keys k on k.api_key_id = page.id"
        " join service_accounts a using (service_account_id)"
        f" order by {order_sql('k', NEWEST_KEYS)}".encode(),
        page.params,
    )
    return [key_record(row) async for row in rows]


async def revoke_key(db: Connection, api_key_id: str) -> None:
    await db.execute("update api_keys set revoke_time = now() where api_key_id = %s", (api_key_id,))


async def remove_ended_keys(db: Connection, kept: timedelta, limit: int) -> int:
    """Removes keys that were revoked or expired long ago. Returns their number."""
    done = await db.execute(
        """
        delete from api_keys where api_key_id in (
            select api_key_id from api_keys
            where (expire_time is not null or revoke_time is not null)
              and least(expire_time, revoke_time) < now() - %s
            order by least(expire_time, revoke_time) limit %s for update skip locked
        )
        """,
        (kept, limit),
    )
    return done.rowcount


async def number(rows: Rows) -> int:
    row = await rows.fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return int(row["number"])
