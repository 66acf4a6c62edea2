"""Looks over RabbitMQ: one quorum queue for each class of work, light and heavy.

A worker that gets a look makes one claim. If that finds a job, more may wait, so the look is
published again, for the next worker with a free slot. If it finds none, the look ends. Whatever the
broker does, jobs are in PostgreSQL.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Self

from aiormq.abc import AbstractChannel, AbstractConnection, ArgumentsType, DeliveredMessage
from aiormq.exceptions import DeliveryError, PublishError
from pamqp.commands import Basic

from media_service.db.database import Database
from media_service.db.notifications import JobRunnable, Notification
from media_service.errors import Unavailable
from media_service.jobs.looks import notified
from media_service.jobs.model import Claim
from media_service.rabbitmq.broker import Broker, answer, unavailable

SETTING = "MEDIA_RABBITMQ_URL"
# Where looks end that no worker acknowledges: for example, because each of them dies.
DEAD = "media.look.dead"
# More looks than these tell nobody anything new. The broker then refuses further ones.
MAX_LOOKS = 1000
MAX_DEAD = 100
# How often a look may be delivered and not be acknowledged.
MAX_DELIVERIES = 20


def queue_of(*, heavy: bool) -> str:
    return "media.look.heavy" if heavy else "media.look.light"


ARGUMENTS: ArgumentsType = {
    "x-queue-type": "quorum",
    "x-max-length": MAX_LOOKS,
    "x-overflow": "reject-publish",
    "x-delivery-limit": MAX_DELIVERIES,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD,
}
DEAD_ARGUMENTS: ArgumentsType = {
    "x-queue-type": "quorum",
    "x-max-length": MAX_DEAD,
    "x-overflow": "drop-head",
}


async def declare(channel: AbstractChannel) -> None:
    """Declares the queues, unless they exist."""
    await channel.queue_declare(DEAD, durable=True, arguments=DEAD_ARGUMENTS)
    for heavy in (False, True):
        await channel.queue_declare(queue_of(heavy=heavy), durable=True, arguments=ARGUMENTS)


class Consumer:
    """What one worker consumes of the looks of one class, on a channel."""

    def __init__(self, channel: AbstractChannel, *, heavy: bool, wake: Callable[[], None]) -> None:
        self._channel = channel
        self._heavy = heavy
        self._wake = wake
        self._tag: str | None = None
        # The looks that are delivered and not yet acknowledged.
        self.delivered: list[int] = []
        # Those that can be acknowledged.
        self.settled: list[int] = []

    async def consume(self, wanted: bool) -> None:
        """Begins or ends to consume."""
        if wanted and self._tag is None:
            queue = queue_of(heavy=self._heavy)
            begun = await answer(self._channel.basic_consume(queue, self._deliver))
            self._tag = begun.consumer_tag
        elif not wanted and self._tag is not None:
            await answer(self._channel.basic_cancel(self._tag))
            self._tag = None

    async def _deliver(self, message: DeliveredMessage) -> None:
        if message.delivery_tag is not None:
            self.delivered.append(message.delivery_tag)
            self._wake()

    async def acknowledge(self) -> None:
        while self.settled:
            await answer(self._channel.basic_ack(self.settled[0]))
            self.settled.pop(0)


class RabbitLooks:
    """Implements `Looks` within a context, and sends the looks of this process. While the broker
    does not work, they go by LISTEN/NOTIFY, which workers always hear as well."""

    def __init__(self, database: Database, url: str) -> None:
        """Raises ValueError if the URL is not valid."""
        self._database = database
        self._broker = Broker(url, SETTING, self._session)
        # For the task that speaks to the broker. The keys say whether it is for heavy jobs.
        self._changed = asyncio.Event()
        self._unsent: set[bool] = set()
        self._accepted = {False: False, True: False}
        self._consumers: dict[bool, Consumer] = {}
        self._wake: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        """Raises Refused if the broker refuses the connection or the queues."""
        await self._broker.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._broker.__aexit__()

    @property
    def up(self) -> bool:
        return self._broker.up

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Sends what this process notifies of jobs that may be claimed, within the context."""
        with self._database.divert(self._take):
            yield

    def _take(self, notification: Notification) -> bool:
        if not isinstance(notification, JobRunnable) or not self._broker.up:
            return False
        self._unsent.add(notification.heavy)
        self._changed.set()
        return True

    @contextmanager
    def listen(self, wake: Callable[[], None]) -> Iterator[None]:
        self._wake = wake
        with notified(self._database, wake):
            try:
                yield
            finally:
                self.accept(light=False, heavy=False)

    def accept(self, *, light: bool, heavy: bool) -> None:
        self._accepted = {False: light, True: heavy}
        for is_heavy, wanted in self._accepted.items():
            if not wanted:
                self._settle(heavy=is_heavy, more=True)
        self._changed.set()

    def looked(self, *, light: bool, heavy: bool) -> None:
        self._settle(heavy=False, more=light)
        self._settle(heavy=True, more=heavy)

    def missed(self, claim: Claim) -> None:
        runnable = JobRunnable(claim.heavy)
        if not self._take(runnable):
            self._database.notify(runnable)

    def _settle(self, *, heavy: bool, more: bool) -> None:
        """Acknowledges the looks of a class. `more`: and publishes one for other workers before."""
        consumer = self._consumers.get(heavy)
        if consumer and consumer.delivered:
            if more:
                self._unsent.add(heavy)
            consumer.settled += consumer.delivered
            consumer.delivered = []
            self._changed.set()

    @asynccontextmanager
    async def _session(
        self, connection: AbstractConnection
    ) -> AsyncIterator[Collection[AbstractChannel]]:
        sending = await answer(connection.channel())
        await answer(declare(sending))
        consuming = await answer(connection.channel(publisher_confirms=False))
        await answer(consuming.basic_qos(prefetch_count=1))
        self._consumers = {
            heavy: Consumer(consuming, heavy=heavy, wake=self._woken) for heavy in (False, True)
        }
        speaking = asyncio.create_task(self._speak(sending), name="looks")
        try:
            yield [sending, consuming]
        finally:
            speaking.cancel()
            await asyncio.wait([speaking])
            self._consumers = {}
            unsent, self._unsent = self._unsent, set()
            for heavy in unsent:
                self._database.notify(JobRunnable(heavy))

    def _woken(self) -> None:
        self._wake()

    async def _speak(self, sending: AbstractChannel) -> None:
        """Says to the broker what has changed, until the connection is lost."""
        while True:
            try:
                for heavy, consumer in self._consumers.items():
                    await consumer.consume(self._accepted[heavy])
                while self._unsent:
                    heavy = next(iter(self._unsent))
                    await publish(sending, heavy=heavy)
                    self._unsent.discard(heavy)
                for consumer in self._consumers.values():
                    await consumer.acknowledge()
            except Unavailable:
                self._broker.lost()
                return
            await self._changed.wait()
            self._changed.clear()


async def publish(channel: AbstractChannel, *, heavy: bool) -> None:
    """Returns when a majority of the queue's replicas have the look, or when it is full: then there
    are enough looks. Raises Unavailable (BROKER_UNAVAILABLE)
    otherwise."""
    properties = Basic.Properties(delivery_mode=2, content_type="text/plain")
    queue = queue_of(heavy=heavy)
    try:
        await answer(
            channel.basic_publish(b"look", routing_key=queue, properties=properties, mandatory=True)
        )
    except PublishError as error:
        raise unavailable(f"there is no queue {queue}") from error
    except DeliveryError:
        return
