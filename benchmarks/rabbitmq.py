"""How fast events reach a quorum queue of RabbitMQ, beside the bare client library."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack

import aiormq
from aiormq.abc import AbstractChannel

from benchmarks.measure import Bench
from benchmarks.report import Outcome, Row
from media_service.events.conformance import ADDRESSES, events
from media_service.events.model import RelayedEvent
from media_service.events.sinks.rabbitmq import EXCHANGE, open_sink
from tests.support.stores.rabbitmq_server import PROGRAM, RabbitmqServer

QUEUE = "benchmark"
EVENTS, BATCH, SINGLE = 10_000, 500, 300
LEAST_A_SECOND, MOST_MS = 2000.0, 50.0


async def bind(channel: AbstractChannel) -> None:
    await channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
    await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    await channel.queue_bind(QUEUE, EXCHANGE, "#")


async def bare(channel: AbstractChannel, batches: Sequence[Sequence[RelayedEvent]]) -> float:
    """Events a second of the library alone, with a body of the same size."""
    body = b"x" * 500
    start = time.perf_counter()
    for batch in batches:
        await asyncio.gather(
            *(
                channel.basic_publish(body, exchange=EXCHANGE, routing_key=event.type)
                for event in batch
            )
        )
    return EVENTS / (time.perf_counter() - start)


async def rabbitmq(bench: Bench) -> Outcome:
    if not PROGRAM.exists():
        return Outcome([], [], ["Events over RabbitMQ were not measured: it is not installed."])
    batches = [events(BATCH) for _ in range(EVENTS // BATCH)]
    with ExitStack() as stack:
        server = await asyncio.to_thread(stack.enter_context, RabbitmqServer())
        connection = await aiormq.connect(server.url)
        channel = await connection.channel()
        await bind(channel)
        sink = open_sink(server.url, ADDRESSES)
        await sink.publish(events(1))
        limit = await bare(channel, batches)
        start = time.perf_counter()
        for batch in batches:
            await sink.publish(batch)
        rate = EVENTS / (time.perf_counter() - start)
        took = []
        for event in events(SINGLE):
            start = time.perf_counter()
            await sink.publish([event])
            took.append(time.perf_counter() - start)
        await sink.close()
        await connection.close()
    milliseconds = statistics.median(took) * 1e3
    return Outcome(
        [
            Row(
                figure="events into a quorum queue of RabbitMQ, confirmed",
                unit="/s",
                target=LEAST_A_SECOND / limit,
                measured=rate,
                limit=limit,
                limit_name="the bare library",
            ),
            Row(
                figure="an event alone, until RabbitMQ has confirmed it",
                unit="ms",
                target=1.0,
                at_most=True,
                measured=milliseconds,
                limit=MOST_MS,
                limit_name="requirement",
            ),
        ],
        [],
        [],
    )
