"""Holds the idempotency key of a call while the call runs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from media_service.db.database import Database
from media_service.errors import Unavailable
from media_service.idempotency import queries
from media_service.idempotency.model import RENEW_SECONDS, KeyClaim

log = logging.getLogger(__name__)


@asynccontextmanager
async def held(database: Database, claimed: KeyClaim | None) -> AsyncIterator[None]:
    """Renews the lease of a claimed key within the context. Releases the key if the context raises
    before the key is settled. None means that the call has no key."""
    if claimed is None:
        yield
        return
    renewing = asyncio.create_task(renew(database, claimed))
    try:
        yield
    except BaseException:
        with suppress(Unavailable):  # if this fails, the lease expires
            async with database.connection() as db:
                await queries.release(db, claimed)
        raise
    finally:
        renewing.cancel()


async def renew(database: Database, claimed: KeyClaim) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            async with database.connection() as db:
                await queries.renew(db, claimed)
        except Unavailable as error:
            log.warning("the lease of an idempotency key was not renewed: %s", error.message)
