"""How fast events reach Redis, and what they cost the transactions that emit them."""

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from benchmarks.measure import Bench
from benchmarks.own_server import p95
from benchmarks.report import Outcome, Row
from benchmarks.stack import await_port, find_program, free_ports, new_database
from media_service.access.owner import Owner
from media_service.db.database import Database
from media_service.db.event_types import EventType
from media_service.db.migrate import migrate
from media_service.db.new_event import Event
from media_service.events.addresses import Addresses
from media_service.events.relay import Relay
from media_service.events.sinks import open_sinks
from media_service.ids import new_id

BACKLOG = 20_000
SINGLE = 400
IN_ONE_TRANSACTION = 100
LEAST_RATE, MOST_MS = 2000.0, 50.0
OWNER = Owner("user", "ann")


def event() -> Event:
    return Event(type=EventType.UPLOAD_CREATED, subject=f"upload/{new_id()}", owner=OWNER)


@asynccontextmanager
async def redis_server() -> AsyncIterator[str]:
    program = find_program("valkey-server") or find_program("redis-server")
    if program is None:
        raise RuntimeError("valkey-server or redis-server is needed")
    (port,) = free_ports(1)
    where = ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(program, *where, stdout=quiet)
    try:
        await asyncio.to_thread(await_port, port)
        yield f"redis://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@asynccontextmanager
async def relaying(database: Database, url: str) -> AsyncIterator[None]:
    sinks = open_sinks({"redis": url, "redis_streams": url}, Addresses("http://localhost:8080"))
    task = asyncio.create_task(Relay(database, sinks).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        for sink in sinks:
            await sink.close()


async def relayed_rate(database: Database, url: str, count: int) -> float:
    """Events a second, from the outbox to both sinks, while they wait."""
    for _ in range(count // IN_ONE_TRANSACTION):
        async with database.transaction() as tx:
            tx.emit(*(event() for _ in range(IN_ONE_TRANSACTION)))
    client: Any = Redis.from_url(url)
    begun = time.perf_counter()
    async with relaying(database, url):
        while await client.xlen("media:events") < count:
            await asyncio.sleep(0.01)
        took = time.perf_counter() - begun
    await client.aclose()
    return count / took


async def latencies(database: Database, url: str, count: int) -> list[float]:
    """Milliseconds from the commit of an event to a subscriber."""
    client: Any = Redis.from_url(url)
    subscriber = client.pubsub()
    await subscriber.psubscribe("upload.*")
    committed: dict[str, float] = {}
    took: list[float] = []

    async def receive() -> None:
        async for message in subscriber.listen():
            if message["type"] != "pmessage":
                continue
            if begun := committed.get(json.loads(message["data"])["id"]):
                took.append((time.perf_counter() - begun) * 1e3)
            if len(took) == count:
                return

    async with relaying(database, url):
        receiving = asyncio.create_task(receive())
        await asyncio.sleep(1)
        for _ in range(count):
            one = event()
            committed[one.event_id] = time.perf_counter()
            async with database.transaction() as tx:
                tx.emit(one)
            committed[one.event_id] = time.perf_counter()
            await asyncio.sleep(0.005)
        await asyncio.wait_for(receiving, 30)
    await subscriber.aclose()
    await client.aclose()
    return took


def row(figure: str, unit: str, measured: float, limit: float, *, at_most: bool) -> Row:
    return Row(
        figure=figure,
        unit=unit,
        target=1.0,
        at_most=at_most,
        measured=measured,
        limit=limit,
        limit_name="as asked for",
    )


async def events(bench: Bench) -> Outcome:
    url = new_database(bench.stack.database_url, "events")
    await migrate(url)
    async with Database(url, 8) as database:
        async with redis_server() as redis:
            rate = await relayed_rate(database, redis, BACKLOG)
        async with redis_server() as redis:
            took = await latencies(database, redis, SINGLE)
    return Outcome(
        [
            row("events from the outbox to Redis", "/s", rate, LEAST_RATE, at_most=False),
            row(
                "commit to subscriber, median", "ms", statistics.median(took), MOST_MS, at_most=True
            ),
        ],
        notes=[f"The 95th percentile from commit to subscriber is {p95(took):.1f} ms."],
    )
