"""How many deliveries a second a worker sends to webhooks, beside its HTTP client alone."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network

from aiohttp import web

from benchmarks.measure import Bench
from benchmarks.report import Outcome, Row
from benchmarks.stack import free_ports, new_database
from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.db.migrate import migrate
from media_service.events.conformance import events
from media_service.ids import new_id
from media_service.webhooks.addresses import Destinations
from media_service.webhooks.deliverer import Deliverer
from media_service.webhooks.queries import due
from media_service.webhooks.queries import webhooks as queries
from media_service.webhooks.secrets import SecretBox, new_secret
from media_service.webhooks.sender import Sender
from media_service.webhooks.shares import ATTEMPTS

WEBHOOKS, EVENTS = 10, 300
DELIVERIES = WEBHOOKS * EVENTS
LEAST_A_SECOND = 300.0
ANN = Principal("ann")


class Receiver:
    """Answers 204 to everything."""

    def __init__(self) -> None:
        self.received = 0
        self.complete = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        await request.read()
        self.received += 1
        if self.received == DELIVERIES:
            self.complete.set()
        return web.Response(status=204)


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[str]:
    (port,) = free_ports(1)
    application = web.Application()
    application.router.add_post("/", receiver.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


async def bare(sender: Sender, url: str) -> float:
    """Requests a second of the client alone, as many at once."""
    body, left = b"x" * 500, DELIVERIES

    async def send() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await sender.post(url, {}, body)

    start = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(ATTEMPTS)))
    return DELIVERIES / (time.perf_counter() - start)


async def delivered_rate(database: Database, sender: Sender, url: str, receiver: Receiver) -> float:
    box = SecretBox([new_id()])
    async with database.connection() as db:
        for _ in range(WEBHOOKS):
            webhook_id = new_id()
            sealed = box.seal(webhook_id, new_secret())
            settings = {"url": url, "types": [], "description": ""}
            await queries.insert(db, webhook_id, "", "", ANN, sealed, settings)
        owned = [replace(event, org_id="", project_id="") for event in events(EVENTS)]
        await due.add(db, owned, url)
    start = time.perf_counter()
    running = asyncio.create_task(Deliverer(database, sender, box).run())
    try:
        async with asyncio.timeout(120):
            await receiver.complete.wait()
        return DELIVERIES / (time.perf_counter() - start)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def webhooks(bench: Bench) -> Outcome:
    url = new_database(bench.stack.database_url, "webhooks")
    await migrate(url)
    destinations = Destinations([ip_network("127.0.0.0/8")])
    async with Database(url, 8) as database, Sender(destinations) as sender:
        async with receiving(Receiver()) as receiver_url:
            limit = await bare(sender, receiver_url)
        receiver = Receiver()
        async with receiving(receiver) as receiver_url:
            rate = await delivered_rate(database, sender, receiver_url, receiver)
    return Outcome(
        [
            Row(
                figure=f"deliveries to {WEBHOOKS} webhooks, by one worker",
                unit="/s",
                target=1.0,
                measured=rate,
                limit=LEAST_A_SECOND,
                limit_name="requirement",
            )
        ],
        notes=[f"The HTTP client alone sends {limit:.0f} requests a second."],
    )
