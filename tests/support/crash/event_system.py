"""A server, workers and brokers that can be killed while clients change media, and whether every
consumer of their events has got each of them, in order."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import psutil
import psycopg
from mediaservice.v1 import media_pb2

from media_service.events.sinks.rabbitmq import EXCHANGE
from media_service.events.sinks.redis_streams import STREAM
from media_service_client import Client, MediaServiceError
from tests.support.crash.deployment import Deployment
from tests.support.crash.event_consumers import (
    PATIENT,
    PHOTOS,
    Subscriber,
    Told,
    Watcher,
    bind,
    problems,
    queued,
    streamed,
)
from tests.support.media.small_files import jpeg
from tests.support.ports import free_port
from tests.support.rpc.server import token
from tests.support.stores.rabbitmq_server import RabbitmqServer
from tests.support.stores.valkey_server import ValkeyServer
from tests.support.tools import eventually

OWNER = "ann"
# Changes between two kills, at least.
FEW = 5
# Until everything has arrived everywhere.
ARRIVED_SECONDS = 120
EVENTS = "select event_id::text, type, subject, coalesce(sequence, 0) from events order by cursor"
BEHIND = """
    select from event_log l where exists (select from event_outbox) or exists (
        select from event_sinks s where s.cursor < l.last_cursor
    )
"""
BACKENDS = """
    select pid from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""


def settings(redis: ValkeyServer, rabbitmq: RabbitmqServer) -> dict[str, str]:
    return {
        "MEDIA_EVENTS_REDIS": redis.url,
        "MEDIA_EVENTS_REDIS_STREAMS": redis.url,
        "MEDIA_EVENTS_RABBITMQ": rabbitmq.url,
        "MEDIA_JOBS_TRANSPORT": "rabbitmq",
        "MEDIA_RABBITMQ_URL": rabbitmq.url,
        "MEDIA_THUMBNAILS": "small=16",
    }


@dataclass
class Facts:
    """What the service has acknowledged: how often something happened to a media."""

    acknowledged: Counter[tuple[str, str]] = field(default_factory=Counter)
    error: str = ""
    _seen: int = 0

    def add(self, type_: str, media_id: str) -> None:
        self.acknowledged[type_, media_id] += 1

    def more(self) -> bool:
        """Whether some were acknowledged since it last was true."""
        if self.acknowledged.total() < self._seen + FEW:
            return False
        self._seen = self.acknowledged.total()
        return True


class User(threading.Thread):
    """Stores, changes, deletes and restores images, again and again."""

    def __init__(self, address: str, facts: Facts, renames: int) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._facts = facts
        self._renames = renames
        self._ended = threading.Event()

    def run(self) -> None:
        with Client(self._address, token=token(OWNER), backoff=PATIENT) as client:
            while not self._ended.is_set():
                try:
                    self._live(client)
                except MediaServiceError as error:
                    self._facts.error = str(error)
                    return

    def _live(self, client: Client) -> None:
        media_id = client.upload(jpeg()).media_id
        self._facts.add("media.created", media_id)
        for number in range(self._renames):
            renamed = media_pb2.Media(media_id=media_id, title=str(number))
            client.update(renamed, ["title"])
            self._facts.add("media.updated", media_id)
        if random.random() < 0.5:  # noqa: S311
            client.delete(media_id)
            self._facts.add("media.deleted", media_id)
            client.undelete(media_id)
            self._facts.add("media.undeleted", media_id)

    def end(self) -> None:
        self._ended.set()
        self.join(ARRIVED_SECONDS)
        assert not self.is_alive()


class EventSystem:
    def __init__(
        self,
        deployment: Deployment,
        redis: ValkeyServer,
        rabbitmq: RabbitmqServer,
        subscriber: Subscriber,
        workers: int,
    ) -> None:
        self._deployment = deployment
        self._redis = redis
        self._rabbitmq = rabbitmq
        self._subscriber = subscriber
        self._port = free_port()
        self._server = deployment.launch("serve", port=self._port).ready()
        self._workers = [deployment.launch("work") for _ in range(workers)]
        self._watcher = Watcher(self._server.address, token(OWNER))
        self.facts = Facts()

    def use(self, renames: int) -> User:
        """Begins to change media."""
        user = User(self._server.address, self.facts, renames)
        user.start()
        return user

    def kill(self, part: str) -> None:
        """Kills a part, and starts it again."""
        getattr(self, f"_kill_{part}")()

    def _kill_server(self) -> None:
        self._server.kill()
        self._server = self._deployment.launch("serve", port=self._port).ready()

    def _kill_worker(self) -> None:
        number = random.randrange(len(self._workers))  # noqa: S311
        self._workers[number].kill()
        self._workers[number] = self._deployment.launch("work")

    def _kill_redis(self) -> None:
        self._redis.stop()
        self._redis.start_for(self._subscriber.subscribe)

    def _kill_rabbitmq(self) -> None:
        self._rabbitmq.kill()
        self._rabbitmq.start()

    def _kill_connections(self) -> None:
        """Those to the database."""
        for pid in self._backends():
            self._deployment.db.execute("select pg_terminate_backend(%s)", (pid,))

    def _kill_postgres(self) -> None:
        """One of its processes, upon which it ends all others and recovers."""
        backends = eventually(self._backends)
        with suppress(psutil.NoSuchProcess):
            psutil.Process(random.choice(backends)).kill()  # noqa: S311

    def _backends(self) -> list[int]:
        with suppress(psycopg.OperationalError):
            return [pid for (pid,) in self._deployment.db.execute(BACKENDS.encode())]
        return []

    def await_arrival(self) -> None:
        """Waits until all jobs have ended, and every consumer has had time to get everything."""
        for worker in self._workers:
            worker.ready()
        eventually(self._settled, ARRIVED_SECONDS)

    def _settled(self) -> bool:
        with suppress(psycopg.OperationalError):
            self._deployment.await_idle()
            if self._deployment.db.execute(BEHIND).rowcount:
                return False
            row = self._deployment.db.execute("select last_cursor from event_log").fetchone()
            assert row
            return int(self._watcher.cursor.split("-")[1]) == int(row[0])
        return False

    def problems(self) -> list[str]:
        """What consumers have missed, got out of order, or should not have got."""
        events = [Told(*row) for row in self._deployment.db.execute(EVENTS)]
        got = {
            "the outbox": events,
            "WatchEvents": self._watcher.got,
            "Redis Pub/Sub": self._subscriber.got,
            "the stream of Redis": streamed(self._redis.url, STREAM),
            "RabbitMQ": queued(self._rabbitmq.url, len(events)),
        }
        found = [each for name in got for each in problems(name, got[name], events)]
        if self._watcher.error or self.facts.error:
            found.append(f"a client got {self._watcher.error or self.facts.error}")
        return [*found, *self._forgotten(events)]

    def _forgotten(self, events: list[Told]) -> list[str]:
        """Facts without their events."""
        counts = Counter((each.type, each.subject.removeprefix("media/")) for each in events)
        found = [
            f"{count} times {type_} of {media_id}, and {counts[type_, media_id]} events"
            for (type_, media_id), count in self.facts.acknowledged.items()
            if counts[type_, media_id] < count
        ]
        for type_, channel in (("media.created", "uploaded"), ("media.deleted", "deleted")):
            images = {media_id for told, media_id in counts if told == type_}
            photos = {id_ for name, id_ in self._subscriber.photos if name == PHOTOS + channel}
            found += [f"no {PHOTOS}{channel} of {media_id}" for media_id in images - photos]
        media = self._deployment.db.execute("select media_id::text, event_sequence from media")
        last = {each.subject: each.number for each in events if each.number}
        return found + [
            f"{number} events of {media_id}, of which the last is {last.get(f'media/{media_id}')}"
            for media_id, number in media
            if last.get(f"media/{media_id}") != number
        ]

    def close(self) -> None:
        self._watcher.close()


@contextmanager
def event_system(
    deployment: Deployment, redis: ValkeyServer, rabbitmq: RabbitmqServer, workers: int
) -> Iterator[EventSystem]:
    """`redis` is started for it, and has a folder."""
    with ExitStack() as stack:
        subscriber = Subscriber()
        stack.callback(redis.stop)
        redis.start_for(subscriber.subscribe)
        bind(rabbitmq.url, EXCHANGE)
        system = EventSystem(deployment, redis, rabbitmq, subscriber, workers)
        stack.callback(system.close)
        yield system
