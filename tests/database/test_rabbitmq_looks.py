"""RabbitMQ tells workers that jobs wait. Whatever it does, every job runs, and runs once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiormq
import psutil
import pytest
from aiormq.abc import AbstractChannel

from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.ids import new_id
from media_service.jobs import rabbitmq_looks, worker
from media_service.jobs.model import JobKind
from media_service.jobs.rabbitmq_looks import DEAD, RabbitLooks, declare, publish, queue_of
from media_service.rabbitmq import broker
from media_service.rabbitmq.broker import Refused
from tests.database.test_worker import ANN, Handler, enqueue, forever, nothing, until, working
from tests.support.ports import free_port
from tests.support.stores.rabbitmq_server import RabbitmqServer

QUEUES = [queue_of(heavy=False), queue_of(heavy=True)]


@pytest.fixture(autouse=True)
def only_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers do not look by themselves, unless a test lets them."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(broker, "PAUSE_SECONDS", 0.05)


@pytest.fixture
async def channel(rabbitmq: RabbitmqServer) -> AsyncIterator[AbstractChannel]:
    """A channel to empty queues."""
    connection = await aiormq.connect(rabbitmq.url)
    channel = await connection.channel()
    for queue in (*QUEUES, DEAD):
        await channel.queue_delete(queue)
    await declare(channel)
    yield channel
    await connection.close()


@asynccontextmanager
async def telling(database_url: str, rabbitmq: RabbitmqServer) -> AsyncIterator[RabbitLooks]:
    """The looks of a process with connections of its own."""
    async with (
        Database(database_url, 4) as database,
        RabbitLooks(database, rabbitmq.url) as looks,
    ):
        with looks.sending():
            yield looks


async def waiting(channel: AbstractChannel, queue: str) -> tuple[int, int]:
    """How many looks wait in a queue, and how many workers consume it."""
    declared = await channel.queue_declare(queue, passive=True)
    assert declared.message_count is not None
    assert declared.consumer_count is not None
    return declared.message_count, declared.consumer_count


async def consumed(channel: AbstractChannel, *counts: int) -> None:
    async def are() -> bool:
        return [(await waiting(channel, queue))[1] for queue in QUEUES] == list(counts)

    await until(are)


@pytest.fixture
async def looks(
    database_url: str, rabbitmq: RabbitmqServer, channel: AbstractChannel
) -> AsyncIterator[RabbitLooks]:
    async with telling(database_url, rabbitmq) as looks:
        yield looks


def test_the_broker_of_tests_listens_on_loopback_only(rabbitmq: RabbitmqServer) -> None:
    own = {rabbitmq.port, rabbitmq.names_port, rabbitmq.distribution_port}
    listening = {
        (each.laddr.port, each.laddr.ip)
        for each in psutil.net_connections("tcp")
        if each.laddr and each.status == psutil.CONN_LISTEN and each.laddr.port in own
    }
    assert {port for port, _ in listening} == own
    assert {ip for _, ip in listening} <= {"127.0.0.1", "::1"}


async def empty(channel: AbstractChannel) -> None:
    """Waits until no look is waiting, nor delivered and not acknowledged."""

    async def is_empty() -> bool:
        return [(await waiting(channel, queue))[0] for queue in QUEUES] == [0, 0]

    await until(is_empty)


@asynccontextmanager
async def workers(
    count: int, handler: Handler, database_url: str, rabbitmq: RabbitmqServer
) -> AsyncIterator[list[RabbitLooks]]:
    """Workers with two slots each, one of them for light jobs."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            looks = await stack.enter_async_context(telling(database_url, rabbitmq))
            await stack.enter_async_context(working(looks._database, handler, 2, looks=looks))
            found.append(looks)
        yield found


@pytest.mark.parametrize("heavy", [False, True])
async def test_a_look_wakes_a_worker(
    looks: RabbitLooks, channel: AbstractChannel, heavy: bool
) -> None:
    handler = Handler(looks._database, nothing)
    async with working(looks._database, handler, 2, looks=looks):
        await consumed(channel, 1, 1)
        await enqueue(looks._database, heavy=heavy)
        await until(lambda: len(handler.finished) == 1)
        await empty(channel)


async def test_one_look_wakes_as_many_workers_as_there_are_jobs(
    database_url: str, rabbitmq: RabbitmqServer, channel: AbstractChannel, database: Database
) -> None:
    handler = Handler(database, forever)
    async with workers(3, handler, database_url, rabbitmq) as looks:
        await consumed(channel, 3, 3)
        async with looks[0]._database.transaction() as tx:
            await tx.enqueue(*(NewJob(JobKind.INGEST, new_id(), ANN) for _ in range(5)))
        await until(lambda: len(handler.ran) == 5)
        assert len({claim.job_id for claim in handler.ran}) == 5


async def test_a_worker_without_a_free_slot_holds_no_look(
    database_url: str, rabbitmq: RabbitmqServer, channel: AbstractChannel, database: Database
) -> None:
    handler = Handler(database, forever)
    async with workers(1, handler, database_url, rabbitmq) as looks:
        told = looks[0]._database
        await enqueue(told, heavy=True)
        await consumed(channel, 1, 0)  # its other slot is for light jobs
        await enqueue(told, heavy=True)
        await enqueue(told)
        await consumed(channel, 0, 0)
        await until(lambda: len(handler.ran) == 2)
        # All looks wait for another worker: none is delivered and not acknowledged.
        before = [(await waiting(channel, queue))[0] for queue in QUEUES]
        assert before[1] >= 1
        async with workers(1, handler, database_url, rabbitmq):
            await until(lambda: len(handler.ran) == 3)


async def test_doubled_looks_run_no_job_twice(looks: RabbitLooks, channel: AbstractChannel) -> None:
    handler = Handler(looks._database, nothing)
    async with working(looks._database, handler, 2, looks=looks):
        await asyncio.gather(*(publish(channel, heavy=number % 2 == 0) for number in range(50)))
        for _ in range(5):
            await enqueue(looks._database)
        await until(lambda: len(handler.finished) == 5)
        await empty(channel)
    assert len({claim.job_id for claim in handler.ran}) == 5
    assert all(handler.finished)


async def test_a_lost_look_is_published_again_by_the_worker_that_finds_the_job(
    database_url: str,
    rabbitmq: RabbitmqServer,
    channel: AbstractChannel,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.3)
    handler = Handler(database, forever)
    async with workers(1, handler, database_url, rabbitmq) as looks:
        await consumed(channel, 1, 1)
        # Nobody is told of these jobs.
        with looks[0]._database.divert(lambda _: True), database.divert(lambda _: True):
            async with database.transaction() as tx:
                await tx.enqueue(*(NewJob(JobKind.INGEST, new_id(), ANN) for _ in range(4)))
        monkeypatch.setattr(worker, "POLL_SECONDS", 3600.0)
        async with workers(1, handler, database_url, rabbitmq):
            await until(lambda: len(handler.ran) == 4)


async def test_a_full_queue_refuses_looks_and_no_job_waits_for_it(
    looks: RabbitLooks, channel: AbstractChannel
) -> None:
    most = rabbitmq_looks.MAX_LOOKS
    await asyncio.gather(*(publish(channel, heavy=False) for _ in range(most + 50)))
    # It counts soon, not at once.
    full, _ = await waiting(channel, QUEUES[0])
    await asyncio.gather(*(publish(channel, heavy=False) for _ in range(50)))
    assert await waiting(channel, QUEUES[0]) == (full, 0)
    await enqueue(looks._database)
    handler = Handler(looks._database, nothing)
    async with working(looks._database, handler, 2, looks=looks):
        await until(lambda: len(handler.finished) == 1)
        await empty(channel)
    assert looks.up


async def test_looks_that_nobody_acknowledges_end_in_the_queue_of_dead_ones(
    channel: AbstractChannel,
) -> None:
    await publish(channel, heavy=True)
    for _ in range(rabbitmq_looks.MAX_DELIVERIES + 1):
        message = await channel.basic_get(QUEUES[1])
        assert message.delivery_tag is not None
        await channel.basic_nack(message.delivery_tag)

    async def dead() -> bool:
        return (await waiting(channel, DEAD))[0] == 1

    await until(dead)


async def test_without_the_broker_workers_hear_of_jobs_from_postgresql(
    rabbitmq: RabbitmqServer, channel: AbstractChannel, database_url: str, database: Database
) -> None:
    handler = Handler(database, nothing)
    async with workers(2, handler, database_url, rabbitmq) as looks:
        await enqueue(looks[0]._database)
        await until(lambda: len(handler.finished) == 1)
        rabbitmq.kill()
        await enqueue(looks[0]._database)
        await until(lambda: len(handler.finished) == 2)
        await until(lambda: not looks[0].up)
        await enqueue(looks[0]._database)
        await until(lambda: len(handler.finished) == 3)
        rabbitmq.start()
        await until(lambda: all(each.up for each in looks))
        await enqueue(looks[0]._database)
        await until(lambda: len(handler.finished) == 4)


async def test_a_silent_broker_delays_a_job_by_the_limit_of_an_answer(
    rabbitmq: RabbitmqServer,
    database_url: str,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker.answer, "__defaults__", (0.3,))
    handler = Handler(database, nothing)
    async with workers(1, handler, database_url, rabbitmq) as looks:
        await until(lambda: looks[0].up)
        rabbitmq.freeze()
        try:
            await enqueue(looks[0]._database)
            await until(lambda: len(handler.finished) == 1)
            await until(lambda: not looks[0].up)
        finally:
            rabbitmq.thaw()
        await until(lambda: looks[0].up)


async def test_a_service_starts_without_the_broker(database: Database) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    async with RabbitLooks(database, url) as looks:
        assert not looks.up


@pytest.mark.parametrize(
    "changed", [("guest:guest", "guest:wrong"), ("/", "/missing")], ids=["password", "vhost"]
)
async def test_a_refused_url_stops_the_start(
    database: Database, rabbitmq: RabbitmqServer, changed: tuple[str, str]
) -> None:
    found, other = changed
    url = other.join(rabbitmq.url.rsplit(found, 1))
    with pytest.raises(Refused, match="MEDIA_RABBITMQ_URL") as refusal:
        async with RabbitLooks(database, url):
            pass
    assert "wrong" not in str(refusal.value)


async def test_a_queue_with_other_properties_stops_the_start(
    database: Database, rabbitmq: RabbitmqServer, channel: AbstractChannel
) -> None:
    await channel.queue_delete(QUEUES[0])
    await channel.queue_declare(QUEUES[0])
    try:
        with pytest.raises(Refused, match=QUEUES[0]):
            async with RabbitLooks(database, rabbitmq.url):
                pass
    finally:
        await channel.queue_delete(QUEUES[0])
