"""Attempts the deliveries that are due. Every worker that has the keys runs one.

A claim is a lease: what a worker that died has claimed is attempted again, so an event may arrive
twice. It sleeps until the next delivery is due, a notification says that one was added, or an
attempt ends that others wait for.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from media_service.access.role import Role
from media_service.clock import now
from media_service.db.batcher import Batcher
from media_service.db.database import Database
from media_service.db.notifications import WebhookDue
from media_service.db.transaction import Transaction
from media_service.errors import Unavailable
from media_service.webhooks.access import locate
from media_service.webhooks.disabling import FAILING, GONE, ROLE_LOST, disable
from media_service.webhooks.model import Answer, Claim, DueWebhook, Finished, Webhook
from media_service.webhooks.queries import due as queries
from media_service.webhooks.queries import webhooks
from media_service.webhooks.secrets import SecretBox, SecretLost
from media_service.webhooks.sender import Sender
from media_service.webhooks.shares import SLOW_SECONDS, Shares
from media_service.webhooks.signing import signed_headers

log = logging.getLogger(__name__)

# Webhooks of one claim.
LOOK = 64
# Longer than the limit of an attempt.
LEASE = timedelta(seconds=60)
# The longest sleep, if a notification is lost.
POLL_SECONDS = 10.0
# Between two claims, so that each begins several attempts.
PAUSE_SECONDS = 0.01
# The pause after a database error.
OUTAGE_SECONDS = 1.0
# How long a webhook is left to workers that have the key of its secret.
WITHOUT_KEY_SECONDS = 30.0
MINUTE, HOUR = 60, 3600
# Between attempts. After the last one, about three days later, a delivery has failed.
PAUSES = (
    *(5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE),
    *(1 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR),
)
# A pause is up to this part longer, so that what failed together is not tried together.
JITTER = 0.2
# A webhook is disabled when a delivery has failed, and none has arrived for so long.
FAILING_AFTER = timedelta(days=5)
CONTENT_TYPE = "application/cloudevents+json"
USER_AGENT = "media-service-webhooks"


def pause_after(attempt: int) -> timedelta | None:
    """None: that was the last attempt."""
    if attempt > len(PAUSES):
        return None
    jitter = random.uniform(1, 1 + JITTER)  # noqa: S311
    return timedelta(seconds=PAUSES[attempt - 1] * jitter)


@dataclass(frozen=True)
class Chosen:
    """Webhooks to claim from, and how many deliveries of each, by id."""

    due: dict[str, DueWebhook] = field(default_factory=dict)
    rooms: dict[str, int] = field(default_factory=dict)


class Deliverer:
    def __init__(self, database: Database, sender: Sender, box: SecretBox) -> None:
        self._database = database
        self._sender = sender
        self._box = box
        self._shares = Shares()
        self._record = Batcher(self._record_all)
        self._wake = asyncio.Event()
        self._hungry = False  # whether something waits for the end of an attempt
        self._without_key: dict[str, float] = {}  # webhooks, until when

    async def run(self) -> None:
        """Runs until cancelled."""
        with self._database.listen(WebhookDue, "", lambda _: self._wake.set()):
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._wake.clear()
                    try:
                        seconds = await self._claim(tasks)
                    except Exception as error:  # the loop must survive any error
                        known = isinstance(error, Unavailable)
                        log.warning("webhooks wait: %s", error, exc_info=None if known else error)
                        await asyncio.sleep(OUTAGE_SECONDS)
                        continue
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            await self._wake.wait()
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _claim(self, tasks: asyncio.TaskGroup) -> float:
        """Begins attempts. Returns the seconds until the next claim."""
        self._hungry = self._shares.free <= 0
        if self._hungry:
            return POLL_SECONDS
        chosen = Chosen()
        try:
            async with self._database.transaction() as tx:
                refused = await self._choose(tx, chosen)
                claims = await queries.claim(tx, chosen.rooms, LEASE) if chosen.rooms else []
        except BaseException:
            self._give_back_unused(chosen, [])
            raise
        self._give_back_unused(chosen, claims)
        for claim in claims:
            attempt = self._attempt(claim, chosen.due[claim.webhook_id])
            tasks.create_task(attempt, name="webhook delivery")
        for webhook in refused:
            async with self._database.transaction() as tx:
                await disable(tx, webhook, ROLE_LOST)
        return 0 if claims or refused else await self._seconds_until_due()

    def _give_back_unused(self, chosen: Chosen, claims: Sequence[Claim]) -> None:
        for webhook_id, room in chosen.rooms.items():
            unused = room - sum(claim.webhook_id == webhook_id for claim in claims)
            self._shares.give_back(webhook_id, chosen.due[webhook_id].account, unused)

    async def _seconds_until_due(self) -> float:
        full = self._full()
        self._hungry = any(full)
        async with self._database.connection() as db:
            seconds = await queries.seconds_until_due(db, full)
        # What is due already is being claimed by another worker.
        return POLL_SECONDS if seconds is None else min(max(seconds, 0.1), POLL_SECONDS)

    def _full(self) -> tuple[list[str], list[str]]:
        """Webhooks and accounts to which this process sends nothing now."""
        at = time.monotonic()
        self._without_key = {name: end for name, end in self._without_key.items() if end > at}
        webhooks, accounts = self._shares.full()
        return [*webhooks, *self._without_key], accounts

    async def _choose(self, tx: Transaction, chosen: Chosen) -> list[Webhook]:
        """Adds webhooks that are due, with the attempts that are reserved for them. Returns those
        whose creator may not have them any more."""
        refused = []
        for each in await queries.due_webhooks(tx, self._full(), LOOK):
            webhook, account = each.webhook, each.account
            room = self._shares.room(webhook.webhook_id, account)
            if not room or not self._secrets(webhook):
                continue
            found = await locate(tx, webhook.resource, webhook.creator, webhook.principal)
            if found is None or found.role < Role.MANAGER:
                refused.append(webhook)
                continue
            self._shares.take(webhook.webhook_id, account, room)
            chosen.due[webhook.webhook_id] = each
            chosen.rooms[webhook.webhook_id] = room
        return refused

    def _secrets(self, webhook: Webhook) -> list[bytes]:
        """What signs, the newest first; empty: this process has no key, but others may have it."""
        try:
            secret, old = self._box.open(webhook.webhook_id, webhook.sealed)
        except SecretLost:
            log.warning("no key opens the secret of webhook %s", webhook.webhook_id)
            self._without_key[webhook.webhook_id] = time.monotonic() + WITHOUT_KEY_SECONDS
            return []
        until = webhook.old_secret_expire_time
        return [secret, old] if old is not None and until and now() < until else [secret]

    async def _attempt(self, claim: Claim, due: DueWebhook) -> None:
        loop = asyncio.get_running_loop()
        slow = loop.call_later(SLOW_SECONDS, self._shares.slow_down, due.account)
        secrets = self._secrets(due.webhook)
        try:
            headers = {
                "content-type": CONTENT_TYPE,
                "user-agent": USER_AGENT,
                **signed_headers(claim.event_id, int(time.time()), claim.body, secrets),
            }
            answer = await self._sender.post(due.webhook.url, headers, claim.body)
            await self._finish(claim, due.webhook, answer)
        except Unavailable:
            return  # the lease ends, and the delivery is attempted again
        except Exception:  # the loop must survive any error
            log.exception("the attempt of a webhook delivery failed")
        finally:
            slow.cancel()
            self._shares.give_back(claim.webhook_id, due.account)
            if self._hungry:
                self._wake.set()

    async def _record_all(self, finished: Sequence[Finished]) -> Sequence[None]:
        async with self._database.connection() as db:
            await queries.finish(db, finished)
        return [None] * len(finished)

    async def _finish(self, claim: Claim, webhook: Webhook, answer: Answer) -> None:
        pause = None if answer.delivered or answer.gone else pause_after(claim.attempt)
        await self._record(Finished(claim, answer, pause))
        if answer.delivered and not webhook.failing_since:
            return
        async with self._database.connection() as db:
            if answer.delivered:
                await webhooks.succeeded(db, webhook.webhook_id)
                return
            since = await webhooks.failed(db, webhook.webhook_id, pause)
        self._wake.set()  # the next attempt may be due before the sleep ends
        if answer.gone or (pause is None and since and since < now() - FAILING_AFTER):
            async with self._database.transaction() as tx:
                await disable(tx, webhook, GONE if answer.gone else FAILING)
