"""SQL of share links. What a link shares is computed in `access/queries.py`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.sql import SQL

from media_service.access.lists import Key, Table, after_sql, order_sql, page_of
from media_service.access.owner import Owner
from media_service.access.policy import Condition
from media_service.access.principal import LinkMode, Principal
from media_service.access.queries import (
    CALLER,
    Scope,
    caller_params,
    collection_keys,
    media_keys,
    owner_keys,
    project_keys,
    role,
    shared,
)
from media_service.access.role import Role
from media_service.db.transaction import Connection, Transaction
from media_service.share_links.model import Attempts, NewLink, ShareLink

COLUMNS = """
    l.*, l.share_link_id::text as share_link_id, coalesce(l.expire_time <= now(), false) as expired
"""
TABLE = Table("share_links", "l", "share_link_id", media_id=None, in_projects=False)
NEWEST = (Key("create_time", descending=True), Key("share_link_id", descending=True))


# The caller's role on a link, apart from what they have by its targets. Its creator is OWNER.
OWNER_ROLE = role("l", owner_keys("l"))


def role_on(targets: str) -> str:
    """The caller's role on a link: that of its creator is OWNER, and otherwise the one on its
    targets. `targets`: "max" for the highest role on one of them, "min" for the lowest, to which a
    target that does not exist counts as NONE."""
    return f"""
        greatest(
            {OWNER_ROLE},
            (
                select {targets}(
                    case when m.media_id is null then {Role.NONE:d}
                    else {role("m", media_keys("m", "media_id"))} end
                )
                from unnest(l.targets) t (resource)
                left join media m on m.media_id = substr(t.resource, 7)::uuid
                where starts_with(t.resource, 'media:')
            ),
            (
                select {role("p", project_keys("p"))} from projects p
                where starts_with(l.targets[1], 'project:')
                  and p.project_id = substr(l.targets[1], 9)
            ),
            (
                select {role("k", collection_keys("k"))} from collections k
                where k.collection_id = case
                        when starts_with(l.targets[1], 'collection:')
                            then substr(l.targets[1], 12)::uuid
                    end
            )
        )
    """


ROLE = role_on("max")
ROLE_ON_ALL = role_on("min")


def record(row: Mapping[str, Any]) -> ShareLink:
    return ShareLink(
        share_link_id=row["share_link_id"],
        targets=tuple(row["targets"]),
        mode=LinkMode(row["mode"]),
        creator=Owner(row["owner_type"], row["owner_id"], row["org_id"]),
        display_name=row["display_name"],
        create_time=row["create_time"],
        expire_time=row["expire_time"],
        revoke_time=row["revoke_time"],
        max_uses=row["max_uses"],
        uses=row["uses"],
        max_files=row["max_files"],
        max_file_size=row["max_file_size_bytes"],
        files=row["files"],
        password_hash=row["password_hash"],
        session_key=row["session_key"],
        expired=row["expired"],
        role=Role(row.get("role") or Role.NONE),
        owner_role=Role(row.get("owner_role") or Role.NONE),
    )


async def insert(
    db: Connection,
    share_link_id: str,
    secret_hash: bytes,
    new: NewLink,
    org_id: str,
    creator: Principal,
    password_hash: str | None,
) -> ShareLink:
    """`org_id`: of the targets."""
    rows = await db.execute(
        f"""
        insert into share_links as l (
            share_link_id, secret_hash, mode, targets, org_id, owner_type, owner_id,
            claimed_org_id, claimed_issuer, display_name, expire_time, max_uses, max_files,
            max_file_size_bytes, password_hash
        )
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        returning {COLUMNS}
        """.encode(),
        (
            share_link_id,
            secret_hash,
            new.mode,
            list(new.targets),
            org_id,
            creator.type,
            creator.id,
            creator.org_id,
            creator.org_issuer,
            new.display_name,
            new.expire_time,
            new.max_uses,
            new.max_files,
            new.max_file_size,
            password_hash,
        ),
    )
    row = await rows.fetchone()
    assert row  # noqa: S101 - it was inserted
    return record(row)


async def count_active(db: Connection, creator: Owner, limit: int) -> int:
    """How many links of a creator have neither expired nor been revoked, up to `limit`. `creator`:
    with the organization of the targets."""
    rows = await db.execute(
        """
        select count(*) as number from (
            select from share_links
            where (org_id, owner_type, owner_id) = (%s, %s, %s) and revoke_time is null
              and coalesce(expire_time, 'infinity') > now()
            limit %s
        ) active
        """,
        (creator.org_id, creator.type, creator.id, limit),
    )
    row = await rows.fetchone()
    return row["number"] if row else 0


async def get(
    db: Connection, share_link_id: str, principal: Principal, role_sql: str = ROLE
) -> ShareLink | None:
    """Returns a link, with the role of the caller."""
    rows = await db.execute(
        f"select {COLUMNS}, {role_sql} as role, {OWNER_ROLE} as owner_role"
        f" from {CALLER} cross join share_links l"
        " where l.share_link_id = %s".encode(),
        (*caller_params(principal), share_link_id),
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def by_secret(db: Connection, secret_hash: bytes) -> ShareLink | None:
    rows = await db.execute(
        f"select {COLUMNS} from share_links l where l.secret_hash = %s".encode(), (secret_hash,)
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def page(
    db: Connection, scope: Scope, after: tuple[datetime, str] | None, limit: int
) -> list[ShareLink]:
    """The links in scope by their creators, newest first."""
    where = [] if after is None else [after_sql("l", NEWEST, after)]
    page = page_of(TABLE, scope, where, NEWEST, limit)
    rows = await db.execute(
        f"with {page.sql} select {COLUMNS} from page"
        " join share_links l on l.share_link_id = page.id"
        f" order by {order_sql('l', NEWEST)}".encode(),
        page.params,
    )
    return [record(row) async for row in rows]


async def page_of_target(
    db: Connection,
    principal: Principal,
    target: str,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[ShareLink]:
    """The links to a target, newest first."""
    later = after_sql("l", NEWEST, after) if after else Condition("true", ())
    rows = await db.execute(
        f"select {COLUMNS}, {OWNER_ROLE} as owner_role from {CALLER} cross join share_links l"
        f" where l.targets @> array[%s] and {later.sql}"
        f" order by {order_sql('l', NEWEST)} limit %s".encode(),
        (*caller_params(principal), target, *later.params, limit),
    )
    return [record(row) async for row in rows]


async def visible(db: Connection, principal: Principal, targets: Sequence[str]) -> set[str]:
    """Those of these targets, which are media, on which the caller has a role."""
    rows = await db.execute(
        f"""
        select t.resource from {CALLER} cross join unnest(%s::text[]) as t (resource)
        join media m on m.media_id = substr(t.resource, 7)::uuid
        where {role("m", media_keys("m", "media_id"))} > 0
        """.encode(),
        (*caller_params(principal), list(targets)),
    )
    return {row["resource"] async for row in rows}


async def update(db: Connection, share_link_id: str, values: Mapping[str, Any]) -> None:
    """Changes columns. A new password ends the sessions that were opened without it, and attempts
    with the earlier one are forgotten."""
    columns = SQL(", ").join(SQL("{} = %s").format(SQL(name)) for name in values)
    if "password_hash" in values:
        columns += SQL(", session_key = session_key + 1")
    await db.execute(
        SQL("update share_links set {} where share_link_id = %s").format(columns),
        (*values.values(), share_link_id),
    )
    if "password_hash" in values:
        await db.execute(
            "delete from share_link_attempts where share_link_id = %s", (share_link_id,)
        )


async def revoke(db: Connection, share_link_id: str) -> None:
    await db.execute(
        "update share_links set revoke_time = now() where share_link_id = %s"
        " and revoke_time is null",
        (share_link_id,),
    )


async def shared_targets(db: Connection, link: Principal) -> set[str]:
    """The targets that a link shares now; see `shared`."""
    rows = await db.execute(
        f"select s.resource from {CALLER}, lateral ({shared('c')}) s".encode(),
        caller_params(link),
    )
    return {row["resource"] async for row in rows}


async def is_smart(db: Connection, collection_id: str) -> bool:
    rows = await db.execute(
        "select from collections where collection_id = %s and filter <> ''", (collection_id,)
    )
    return rows.rowcount > 0


async def max_file_size(db: Connection, share_link_id: str) -> int | None:
    """How many bytes a file may have that a guest uploads. None: there is no limit."""
    rows = await db.execute(
        "select max_file_size_bytes from share_links where share_link_id = %s", (share_link_id,)
    )
    row = await rows.fetchone()
    return row["max_file_size_bytes"] if row else None


async def use(db: Connection, share_link_id: str) -> bool:
    """Counts a use. Returns False if there is none left."""
    done = await db.execute(
        "update share_links set uses = uses + 1"
        " where share_link_id = %s and (max_uses is null or uses < max_uses)",
        (share_link_id,),
    )
    return done.rowcount == 1


async def attempts(
    tx: Transaction, share_link_id: str, network: str, period: timedelta
) -> tuple[Attempts, Attempts]:
    """The attempts to open a link with a password in the period, from a network and from all. Locks
    the link, so that no other attempt is admitted meanwhile."""
    await tx.execute(
        "select from share_links where share_link_id = %s for update", (share_link_id,)
    )
    rows = await tx.execute(
        """
        select count(*) filter (where network = %(network)s) as of_network, count(*) as of_all,
               extract(epoch from min(create_time) filter (where network = %(network)s)
                   + %(period)s - now())::float8 as seconds_of_network,
               extract(epoch from min(create_time) + %(period)s - now())::float8 as seconds_of_all
        from share_link_attempts
        where share_link_id = %(share_link_id)s and create_time > now() - %(period)s
        """,
        {"network": network, "period": period, "share_link_id": share_link_id},
    )
    row = await rows.fetchone()
    assert row  # noqa: S101 - aggregates
    return (
        Attempts(row["of_network"], row["seconds_of_network"] or 0.0),
        Attempts(row["of_all"], row["seconds_of_all"] or 0.0),
    )


async def insert_attempt(db: Connection, attempt_id: str, share_link_id: str, network: str) -> None:
    await db.execute(
        "insert into share_link_attempts (attempt_id, share_link_id, network) values (%s, %s, %s)",
        (attempt_id, share_link_id, network),
    )


async def forget_attempt(db: Connection, attempt_id: str) -> None:
    await db.execute("delete from share_link_attempts where attempt_id = %s", (attempt_id,))


async def remove_attempts(db: Connection, period: timedelta) -> None:
    await db.execute("delete from share_link_attempts where create_time < now() - %s", (period,))


async def remove_ended(db: Connection, kept: timedelta, limit: int) -> int:
    """Removes links that ended longer ago than `kept`."""
    done = await db.execute(
        "delete from share_links where share_link_id in ("
        " select share_link_id from share_links"
        " where least(expire_time, revoke_time) < now() - %s limit %s)",
        (kept, limit),
    )
    return done.rowcount
