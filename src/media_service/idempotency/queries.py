"""SQL of idempotency keys."""

from collections.abc import Sequence
from datetime import timedelta

from psycopg.errors import LockNotAvailable

from media_service.db.due_rows import delete_expired
from media_service.db.transaction import Connection, Rows
from media_service.failpoints import failpoint
from media_service.idempotency.model import KEPT, LEASE, KeyClaim, in_progress, other_content


async def claim(
    db: Connection, wanted: KeyClaim, lease: timedelta | None = None
) -> tuple[str, str | None]:
    """Claims a key. With `lease`, the call must settle the key later.

    Returns two ids. The first is the resource that the key belongs to: the wanted one, or that of
    an earlier call. The second is the resource of an earlier call whose lease expired and whose key
    this call took over, or None. Raises Aborted (IDEMPOTENCY_CONFLICT, IDEMPOTENCY_IN_PROGRESS).
    """
    while True:
        rows = await insert(db, wanted, lease)
        if row := await rows.fetchone():
            return wanted.resource_id, row["abandoned_id"]
        rows = await db.execute(
            "select digest, resource_id::text as resource_id, lease_until > now() as running,"
            " lease_until is not null as claimed from idempotency_keys where key_id = %s",
            (wanted.key.key_id,),
        )
        row = await rows.fetchone()
        if row is None or (row["claimed"] and not row["running"]):
            continue  # the key was just released, or its lease just expired
        if row["digest"] != wanted.key.digest:
            raise other_content()
        if row["running"]:
            raise in_progress()
        return str(row["resource_id"]), None


async def insert(db: Connection, wanted: KeyClaim, lease: timedelta | None) -> Rows:
    """Inserts a key that is new or abandoned. Waits for a transaction that is inserting the key.

    Raises Aborted (IDEMPOTENCY_IN_PROGRESS) if that takes too long, and the transaction has failed.
    """
    try:
        return await db.execute(
            """
            with abandoned as (
                select resource_id from idempotency_keys
                where key_id = %(key_id)s and lease_until <= now() for update
            )
            insert into idempotency_keys as k
                (key_id, digest, resource_id, lease_until, expire_time)
            values (%(key_id)s, %(digest)s, %(resource_id)s, now() + %(lease)s::interval,
                    now() + %(kept)s)
            on conflict (key_id) do update
            set digest = excluded.digest, resource_id = excluded.resource_id,
                lease_until = excluded.lease_until, expire_time = excluded.expire_time
            where k.resource_id = (select resource_id from abandoned)
            returning (select resource_id::text from abandoned) as abandoned_id
            """,
            {
                "key_id": wanted.key.key_id,
                "digest": wanted.key.digest,
                "resource_id": wanted.resource_id,
                "lease": lease,
                "kept": KEPT,
            },
        )
    except LockNotAvailable:
        raise in_progress() from None


async def claim_again(db: Connection, wanted: KeyClaim, ended_id: str) -> None:
    """Claims, with a lease, a settled key whose resource failed. Raises Aborted
    (IDEMPOTENCY_IN_PROGRESS) if another call claimed it first."""
    done = await db.execute(
        "update idempotency_keys"
        " set resource_id = %s, lease_until = now() + %s, expire_time = now() + %s"
        " where key_id = %s and resource_id = %s and lease_until is null",
        (wanted.resource_id, LEASE, KEPT, wanted.key.key_id, ended_id),
    )
    if done.rowcount != 1:
        raise in_progress()


async def renew(db: Connection, claimed: KeyClaim) -> None:
    """Extends a lease, unless the key is settled or was taken over."""
    await db.execute(
        "update idempotency_keys set lease_until = now() + %s, expire_time = now() + %s"
        " where key_id = %s and resource_id = %s and lease_until is not null",
        (LEASE, KEPT, claimed.key.key_id, claimed.resource_id),
    )


async def release(db: Connection, claimed: KeyClaim) -> None:
    """Removes the key of a call that failed, unless the key is settled or was taken over."""
    await db.execute(
        "delete from idempotency_keys"
        " where key_id = %s and resource_id = %s and lease_until is not null",
        (claimed.key.key_id, claimed.resource_id),
    )


async def forget(db: Connection, claims: Sequence[KeyClaim]) -> None:
    """Removes keys that this transaction claimed for requests that it then refused."""
    if claims:
        await db.execute(
            "delete from idempotency_keys k"
            " using unnest(%s::bytea[], %s::uuid[]) as c (key_id, resource_id)"
            " where (k.key_id, k.resource_id) = (c.key_id, c.resource_id)",
            ([one.key.key_id for one in claims], [one.resource_id for one in claims]),
        )


async def settle(db: Connection, claims: Sequence[KeyClaim]) -> None:
    """Settles claimed keys. Call it in the transaction that has the effects of their calls.

    Raises Aborted (IDEMPOTENCY_IN_PROGRESS) if another call has taken over a key. It then changes
    nothing, because an error of the caller does not roll back a pipeline.
    """
    if not claims:
        return
    claimed = [one.key.key_id for one in claims], [one.resource_id for one in claims]
    rows = await db.execute(
        "select from idempotency_keys k"
        " join unnest(%s::bytea[], %s::uuid[]) as c (key_id, resource_id)"
        " using (key_id, resource_id) where k.lease_until is not null for update of k",
        claimed,
    )
    if len(await rows.fetchall()) != len(claims):
        raise in_progress()
    await db.execute(
        "update idempotency_keys set lease_until = null where key_id = any(%s)", (claimed[0],)
    )
    failpoint("key.settle.after")


async def delete_expired_keys(db: Connection, limit: int) -> int:
    return await delete_expired(db, "idempotency_keys", "key_id", limit)
