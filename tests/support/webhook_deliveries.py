"""Webhooks of made-up people, and workers that send to them, without a service."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network

from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.db.notifications import WebhookDue
from media_service.events.conformance import events
from media_service.events.model import RelayedEvent
from media_service.ids import new_id
from media_service.webhooks.addresses import Destinations
from media_service.webhooks.deliverer import Deliverer
from media_service.webhooks.queries import due, webhooks
from media_service.webhooks.secrets import SecretBox, new_secret
from media_service.webhooks.sender import Sender

LOOPBACK = Destinations([ip_network("127.0.0.0/8")])
KEY = "k" * 32


@dataclass
class Hooks:
    database: Database
    box: SecretBox

    async def create(self, url: str, user: str = "ann", box: SecretBox | None = None) -> str:
        webhook_id = new_id()
        sealed = (box or self.box).seal(webhook_id, new_secret())
        async with self.database.connection() as db:
            settings = {"url": url, "types": [], "description": ""}
            await webhooks.insert(db, webhook_id, "", "", Principal(user), sealed, settings)
        return webhook_id

    async def add(self, number: int, user: str = "ann") -> Sequence[RelayedEvent]:
        """Events of what a user owns."""
        owned = [
            replace(
                event,
                event_id=new_id(),
                org_id="",
                project_id="",
                owner_type="user",
                owner_id=user,
            )
            for event in events(number)
        ]
        async with self.database.connection() as db:
            if await due.add(db, owned, "https://media.example"):
                db.notify(WebhookDue())
        return owned

    @asynccontextmanager
    async def worker(self, box: SecretBox | None = None) -> AsyncIterator[None]:
        """One that sends, in the context. Its end cuts off its attempts, as its death would."""
        async with Sender(LOOPBACK) as sender:
            deliverer = Deliverer(self.database, sender, box or self.box)
            running = asyncio.create_task(deliverer.run())
            try:
                yield
            finally:
                running.cancel()
                await asyncio.wait([running])

    async def due_now(self) -> None:
        """Lets all leases and pauses end."""
        async with self.database.connection() as db:
            await db.execute(
                "update webhook_deliveries set next_time = now() where next_time is not null"
            )
            await db.execute("update webhooks set due_time = now() where disable_reason = ''")
            db.notify(WebhookDue())

    async def change(self, statement: str, *params: object) -> None:
        async with self.database.connection() as db:
            await db.execute(statement.encode(), params)

    async def value(self, query: str, *params: object) -> object:
        async with self.database.connection() as db:
            row = await (await db.execute(query.encode(), params)).fetchone()
        return next(iter(row.values())) if row else None
