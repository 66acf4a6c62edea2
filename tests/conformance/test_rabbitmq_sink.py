"""The sink of RabbitMQ, against a real broker."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiormq
import pytest
from aiormq.abc import AbstractChannel, ArgumentsType

from media_service.events.conformance import ADDRESSES, SinkConformance, envelopes, events
from media_service.events.sink import Sink, SinkUnavailable
from media_service.events.sinks.rabbitmq import EXCHANGE, open_sink
from tests.support.ports import free_port
from tests.support.stores.rabbitmq_server import RabbitmqServer
from tests.support.tools import eventually_async

QUEUE = "consumer"


class RabbitmqBroker:
    """A consumer with a durable queue, bound to everything."""

    def __init__(self, server: RabbitmqServer, stack: AsyncExitStack) -> None:
        self._server = server
        self._stack = stack
        self._got: list[Mapping[str, Any]] = []

    async def bind(self, key: str = "#") -> None:
        channel = await self.channel()
        await channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
        await channel.queue_delete(QUEUE)
        await channel.queue_declare(QUEUE, durable=True)
        await channel.queue_bind(QUEUE, EXCHANGE, key)

    async def channel(self) -> AbstractChannel:
        connection = await aiormq.connect(self._server.url)
        self._stack.push_async_callback(connection.close)
        return await connection.channel()

    async def open(self) -> Sink:
        sink = open_sink(self._server.url, ADDRESSES)
        self._stack.push_async_callback(sink.close)
        return sink

    async def received(self, count: int) -> Sequence[Mapping[str, Any]]:
        channel = await self.channel()

        async def complete() -> bool:
            while (message := await channel.basic_get(QUEUE, no_ack=True)).delivery_tag:
                assert message.routing_key in EXPECTED_TYPES
                self._got.append(json.loads(message.body))
            return len({each["id"] for each in self._got}) == count

        await eventually_async(complete)
        return self._got

    def stop(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()


EXPECTED_TYPES = ("media.created", "media.updated")


@pytest.fixture
async def broker(rabbitmq: RabbitmqServer) -> AsyncIterator[RabbitmqBroker]:
    async with AsyncExitStack() as stack:
        broker = RabbitmqBroker(rabbitmq, stack)
        await broker.bind()
        yield broker


class TestRabbitmqSink(SinkConformance):
    async def test_the_routing_key_is_the_type(self, broker: RabbitmqBroker) -> None:
        await broker.bind("*.updated")
        sink, sent = await broker.open(), events(3)
        await sink.publish(sent)
        assert list(await broker.received(2)) == envelopes(sent[1:])

    async def test_events_without_a_queue_are_logged_once(
        self, broker: RabbitmqBroker, caplog: pytest.LogCaptureFixture
    ) -> None:
        await broker.bind("quota.#")
        sink = await broker.open()
        await sink.publish(events(3))
        await sink.publish(events(3))
        found = [each.getMessage() for each in caplog.records if "no queue" in each.getMessage()]
        assert found == [
            f"no queue is bound to {EXCHANGE} for events {name}" for name in EXPECTED_TYPES
        ]

    async def test_a_queue_that_refuses_an_event_delays_it(self, broker: RabbitmqBroker) -> None:
        channel = await broker.channel()
        await channel.queue_delete(QUEUE)
        full: ArgumentsType = {"x-max-length": 1, "x-overflow": "reject-publish"}
        await channel.queue_declare(QUEUE, durable=True, arguments=full)
        await channel.queue_bind(QUEUE, EXCHANGE, "#")
        sink, sent = await broker.open(), events(2)
        with pytest.raises(SinkUnavailable):
            await sink.publish(sent)
        assert len(await broker.received(1)) == 1
        with pytest.raises(SinkUnavailable):
            await sink.publish(sent)

    async def test_a_silent_broker_is_left_when_the_relay_gives_up(
        self, broker: RabbitmqBroker, rabbitmq: RabbitmqServer
    ) -> None:
        sink, sent = await broker.open(), events(2)
        await sink.publish(sent[:1])
        rabbitmq.freeze()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await sink.publish(sent)
        finally:
            rabbitmq.thaw()
        await sink.publish(sent)
        assert envelopes(sent)[-1] in await broker.received(2)


async def test_no_error_tells_the_password() -> None:
    url = f"amqp://ann:secret-word@127.0.0.1:{free_port()}/"
    with pytest.raises(SinkUnavailable) as caught:
        await open_sink(url, ADDRESSES).publish(events(1))
    assert "secret-word" not in str(caught.value)
