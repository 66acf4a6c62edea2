"""Events in a topic exchange of RabbitMQ. The routing key is the type: `media.created`.

Consumers bind queues of their own, such as to `media.#`, and so choose what they get and keep. An
event that no queue is bound for is returned by the broker, and counts as published: nobody waits
for it, and WatchEvents still has it.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from aiormq.abc import AbstractConnection
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError, PublishError
from pamqp.commands import Basic
from yarl import URL

from media_service.errors import Unavailable
from media_service.events.addresses import Addresses
from media_service.events.envelope import MEDIA_TYPE, to_json
from media_service.events.model import RelayedEvent
from media_service.events.sink import SinkUnavailable
from media_service.rabbitmq.broker import (
    CLOSE_SECONDS,
    OPEN_SECONDS,
    REFUSALS,
    answer,
    checked,
    connect,
)

log = logging.getLogger(__name__)

EXCHANGE = "media.events"


def open_sink(url: str, addresses: Addresses) -> "RabbitmqSink":
    """Raises ValueError if the URL is not valid."""
    return RabbitmqSink(checked(url), addresses.service)


class RabbitmqSink:
    """Implements `Sink`. `source`: of the events."""

    name = "rabbitmq"

    def __init__(self, url: URL, source: str) -> None:
        self._url = url
        self._source = source
        self._connection: AbstractConnection | None = None
        self._channel: Channel | None = None
        # The types of events that no queue is bound for. They are logged once.
        self._unbound: set[str] = set()

    async def publish(self, events: Sequence[RelayedEvent]) -> None:
        if not events:
            return
        try:
            channel = self._channel or await self._open()
            # In order, without waiting for each confirmation: the broker reads one connection.
            confirmed = [asyncio.create_task(self._send(channel, event)) for event in events]
            try:
                await answer(asyncio.gather(*confirmed))
            finally:
                for task in confirmed:
                    task.cancel()
                await asyncio.gather(*confirmed, return_exceptions=True)
        except BaseException as error:
            await self.close()
            if isinstance(error, (Unavailable, DeliveryError, *REFUSALS)):
                raise SinkUnavailable(str(error) or "a queue refused an event") from error
            raise

    async def _send(self, channel: Channel, event: RelayedEvent) -> None:
        properties = Basic.Properties(
            message_id=event.event_id,
            message_type=event.type,
            content_type=MEDIA_TYPE,
            delivery_mode=2,
            timestamp=event.time,
        )
        try:
            await channel.basic_publish(
                to_json(event, self._source),
                exchange=EXCHANGE,
                routing_key=event.type,
                properties=properties,
                mandatory=True,
                # The library would hold the channel until this event alone is written.
                wait=False,
            )
        except PublishError:
            if event.type not in self._unbound:
                log.warning("no queue is bound to %s for events %s", EXCHANGE, event.type)
            self._unbound.add(event.type)
        else:
            self._unbound.discard(event.type)

    async def _open(self) -> Channel:
        self._connection = await answer(connect(self._url), OPEN_SECONDS)
        channel = await answer(self._connection.channel())
        assert isinstance(channel, Channel)  # noqa: S101 - its interface leaves out `wait`
        await answer(channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True))
        self._channel = channel
        return channel

    async def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(Unavailable, *REFUSALS):
                await answer(connection.close(), CLOSE_SECONDS)
