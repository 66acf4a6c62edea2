"""Idempotency keys whose leases expire."""

import asyncio
from datetime import timedelta

from media_service.access.owner import Owner
from media_service.db.database import Database
from media_service.idempotency import queries
from media_service.idempotency.model import KeyClaim, RequestKey
from media_service.ids import new_id


async def test_a_lease_that_ends_at_this_instant_can_be_taken_over(database: Database) -> None:
    key = RequestKey.of(Owner("user", "ann"), "UploadMedia", "key", b"content")
    first, second = KeyClaim(key, new_id()), KeyClaim(key, new_id())
    # In a transaction, now() is one instant, and so equals the end of the first lease.
    async with asyncio.timeout(5), database.transaction() as tx:
        await queries.claim(tx, first, timedelta(0))
        taken = await queries.claim(tx, second, timedelta(seconds=30))
    assert taken == (second.resource_id, first.resource_id)
