"""How fast events reach Redis and RabbitMQ."""

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import aiormq
from aiormq.abc import DeliveredMessage
from redis.asyncio import Redis

from benchmarks.measure import Bench
from benchmarks.own_server import p95
from benchmarks.rabbitmq import QUEUE, bind
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
from tests.support.stores.rabbitmq_server import PROGRAM, RabbitmqServer

BACKLOG = 20_000
SINGLE = 400
IN_ONE_TRANSACTION = 100
LEAST_RATE, MOST_MS = 2000.0, 50.0
OWNER = Owner("user", "ann")
Opened: TypeAlias = Callable[[], AbstractAsyncContextManager[str]]
Consumed: TypeAlias = Callable[[str], AsyncIterator[str]]


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
async def rabbitmq_server() -> AsyncIterator[str]:
    """With a quorum queue that gets all events."""
    with RabbitmqServer() as server:
        connection = await aiormq.connect(server.url)
        await bind(await connection.channel())
        yield server.url
        await connection.close()


@asynccontextmanager
async def relaying(database: Database, sinks: Sequence[str], url: str) -> AsyncIterator[None]:
    opened = open_sinks(dict.fromkeys(sinks, url), Addresses("http://localhost:8080"))
    task = asyncio.create_task(Relay(database, opened).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        for sink in opened:
            await sink.close()


async def behind(database: Database) -> bool:
    """Whether an event is not confirmed by all sinks."""
    async with database.connection() as db:
        rows = await db.execute(
            "select from event_log l where exists (select from event_outbox)"
            " or l.last_cursor > (select min(s.cursor) from event_sinks s)"
        )
        return rows.rowcount > 0


async def relayed_rate(database: Database, sinks: Sequence[str], url: str) -> float:
    """Events a second, from the outbox until all sinks have confirmed them, while they wait."""
    for _ in range(BACKLOG // IN_ONE_TRANSACTION):
        async with database.transaction() as tx:
            tx.emit(*(event() for _ in range(IN_ONE_TRANSACTION)))
    begun = time.perf_counter()
    async with relaying(database, sinks, url):
        while await behind(database):
            await asyncio.sleep(0.02)
        return BACKLOG / (time.perf_counter() - begun)


async def from_redis(url: str) -> AsyncIterator[str]:
    """The ids of events, as a subscriber gets them; first an empty one."""
    client: Any = Redis.from_url(url)
    subscriber = client.pubsub()
    await subscriber.psubscribe("upload.*")
    yield ""
    async for message in subscriber.listen():
        if message["type"] == "pmessage":
            yield json.loads(message["data"])["id"]


async def from_rabbitmq(url: str) -> AsyncIterator[str]:
    """The same, as a consumer of the quorum queue gets them."""
    connection = await aiormq.connect(url)
    channel, got = await connection.channel(), asyncio.Queue[str]()

    async def deliver(message: DeliveredMessage) -> None:
        await got.put(str(message.header.properties.message_id))

    await channel.basic_consume(QUEUE, deliver, no_ack=True)
    yield ""
    while True:
        yield await got.get()


async def latencies(
    database: Database, sinks: Sequence[str], url: str, ids: AsyncIterator[str]
) -> list[float]:
    """Milliseconds from the commit of an event to a consumer."""
    committed: dict[str, float] = {}
    took: list[float] = []

    async def receive() -> None:
        async for id_ in ids:
            if begun := committed.get(id_):
                took.append((time.perf_counter() - begun) * 1e3)
            if len(took) == SINGLE:
                return

    await anext(ids)
    async with relaying(database, sinks, url):
        receiving = asyncio.create_task(receive())
        await asyncio.sleep(1)
        for _ in range(SINGLE):
            one = event()
            committed[one.event_id] = time.perf_counter()
            async with database.transaction() as tx:
                tx.emit(one)
            committed[one.event_id] = time.perf_counter()
            await asyncio.sleep(0.005)
        await asyncio.wait_for(receiving, 30)
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
    brokers: dict[str, tuple[Sequence[str], Opened, Consumed]] = {
        "Redis": (("redis", "redis_streams"), redis_server, from_redis)
    }
    if PROGRAM.exists():
        brokers["RabbitMQ"] = (("rabbitmq",), rabbitmq_server, from_rabbitmq)
    rows, notes = [], []
    for number, (name, (sinks, server, consumed)) in enumerate(brokers.items()):
        url = new_database(bench.stack.database_url, f"events{number}")
        await migrate(url)
        async with Database(url, 8) as database:
            async with server() as address:
                rate = await relayed_rate(database, sinks, address)
            async with server() as address:
                took = await latencies(database, sinks, address, consumed(address))
        median = statistics.median(took)
        rows += [
            row(f"events from the outbox to {name}", "/s", rate, LEAST_RATE, at_most=False),
            row(f"commit to consumer of {name}, median", "ms", median, MOST_MS, at_most=True),
        ]
        notes.append(f"{name}: p95 from commit to consumer {p95(took):.1f} ms.")
    return Outcome(rows, notes=notes)
