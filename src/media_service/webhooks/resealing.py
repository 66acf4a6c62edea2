"""Encrypts the secrets of webhooks with the first key, so that the others can be removed.

Every server does it, because servers have all keys. A secret that no key opens stays as it is, and
the log says so.
"""

import asyncio
import logging

from media_service.db.database import Database
from media_service.errors import Unavailable
from media_service.webhooks.queries import webhooks as queries
from media_service.webhooks.secrets import SecretBox, SecretLost

log = logging.getLogger(__name__)

BATCH = 100
PAUSE_SECONDS = 60.0


async def keep_sealed(database: Database, box: SecretBox) -> None:
    """Runs until cancelled."""
    reported: set[str] = set()
    while True:
        try:
            done, lost = await reseal(database, box)
        except Unavailable as error:
            log.warning("secrets of webhooks keep their keys for now: %s", error)
        else:
            if done:
                log.info("%d secrets of webhooks have the first key now", done)
            if unknown := lost - reported:
                log.warning("no key opens the secrets of webhooks %s", ", ".join(sorted(unknown)))
            reported = lost
        await asyncio.sleep(PAUSE_SECONDS)


async def reseal(database: Database, box: SecretBox) -> tuple[int, set[str]]:
    """Returns how many were changed, and the webhooks whose secrets no key opens."""
    done, lost, last = 0, set[str](), None
    while True:
        async with database.connection() as db:
            found = await queries.sealed_otherwise(db, box.key, last, BATCH)
            for webhook_id, old in found:
                last = webhook_id
                try:
                    new = box.seal(webhook_id, *box.open(webhook_id, old))
                except SecretLost:
                    lost.add(webhook_id)
                else:
                    done += await queries.reseal(db, webhook_id, old, new)
        if len(found) < BATCH:
            return done, lost
