"""Attempts the deliveries that are due. Every worker runs one.

A claim is a lease: what a worker that died has claimed is attempted again, so an event may arrive
twice. Each webhook has a share of the attempts at once, so one slow receiver leaves room to others.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from media_service.access.role import Role
from media_service.db.database import Database
from media_service.errors import Unavailable
from media_service.webhooks import queries
from media_service.webhooks.access import locate
from media_service.webhooks.model import Answer, Claim, Webhook
from media_service.webhooks.secrets import SecretBox, SecretLost
from media_service.webhooks.sender import Sender
from media_service.webhooks.signing import signed_headers

log = logging.getLogger(__name__)

# Attempts of a process at once, and of those, of one webhook.
ATTEMPTS = 64
SHARE = 8
# Longer than the limit of an attempt.
LEASE = timedelta(seconds=60)
POLL_SECONDS = 0.5
# The pause after a database error.
OUTAGE_SECONDS = 1.0
MINUTE, HOUR = 60, 3600
# Between attempts. After the last one, about three days later, a delivery has failed.
PAUSES = (
    *(5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE),
    *(1 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR),
)
# A pause is up to this part longer, so that what failed together is not tried together.
JITTER = 0.2
CONTENT_TYPE = "application/cloudevents+json"
USER_AGENT = "media-service-webhooks"
GONE = "the receiver answered 410"
ROLE_LOST = "its creator no longer has the role MANAGER"
SECRET_LOST = "its secret cannot be decrypted: its key was removed"


def pause_after(attempt: int) -> timedelta | None:
    """None: that was the last attempt."""
    if attempt > len(PAUSES):
        return None
    jitter = random.uniform(1, 1 + JITTER)  # noqa: S311
    return timedelta(seconds=PAUSES[attempt - 1] * jitter)


class Deliverer:
    def __init__(self, database: Database, sender: Sender, box: SecretBox) -> None:
        self._database = database
        self._sender = sender
        self._box = box
        self._busy: Counter[str] = Counter()
        self._freed = asyncio.Event()

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._freed.clear()
                try:
                    found = await self._claim(tasks)
                except Exception as error:  # the loop must survive any error
                    known = isinstance(error, Unavailable)
                    log.warning("webhooks wait: %s", error, exc_info=None if known else error)
                    await asyncio.sleep(OUTAGE_SECONDS)
                    continue
                # A full process waits for a place, an idle one for the next look.
                if not found or self._busy.total() >= ATTEMPTS:
                    try:
                        async with asyncio.timeout(POLL_SECONDS):
                            await self._freed.wait()
                    except TimeoutError:
                        continue

    async def _claim(self, tasks: asyncio.TaskGroup) -> int:
        """Begins attempts. Returns their number."""
        if (room := ATTEMPTS - self._busy.total()) <= 0:
            return 0
        async with self._database.connection() as db:
            claims = await queries.claim(db, +self._busy, SHARE, room, LEASE)
            ids = {claim.webhook_id for claim in claims}
            webhooks = await self._allowed(await queries.get(db, sorted(ids))) if ids else {}
        for claim in claims:
            if webhook := webhooks.get(claim.webhook_id):
                self._busy[claim.webhook_id] += 1
                tasks.create_task(self._attempt(claim, webhook), name="webhook delivery")
        return len(claims)

    async def _allowed(self, webhooks: Mapping[str, Webhook]) -> Mapping[str, Webhook]:
        """Those whose creator may have them now. The others are disabled."""
        allowed = {}
        async with self._database.connection() as db:
            for webhook in webhooks.values():
                found = await locate(db, webhook.resource, webhook.creator, webhook.principal)
                if found is None or found.role < Role.MANAGER:
                    await queries.disable(db, webhook.webhook_id, ROLE_LOST)
                else:
                    allowed[webhook.webhook_id] = webhook
        return allowed

    async def _attempt(self, claim: Claim, webhook: Webhook) -> None:
        try:
            try:
                secret = self._box.open(webhook.webhook_id, webhook.secret)
            except SecretLost:
                async with self._database.connection() as db:
                    await queries.disable(db, webhook.webhook_id, SECRET_LOST)
                return
            headers = {
                "content-type": CONTENT_TYPE,
                "user-agent": USER_AGENT,
                **signed_headers(claim.event_id, int(time.time()), claim.body, [secret]),
            }
            answer = await self._sender.post(webhook.url, headers, claim.body)
            await self._finish(claim, answer)
        except Unavailable:
            return  # the lease ends, and the delivery is attempted again
        except Exception:  # the loop must survive any error
            log.exception("the attempt of a webhook delivery failed")
        finally:
            self._busy[claim.webhook_id] -= 1
            self._freed.set()

    async def _finish(self, claim: Claim, answer: Answer) -> None:
        pause = None if answer.delivered else pause_after(claim.attempt)
        async with self._database.connection() as db:
            await queries.finish(db, claim, answer, None if answer.gone else pause)
            if answer.gone:
                await queries.disable(db, claim.webhook_id, GONE)
