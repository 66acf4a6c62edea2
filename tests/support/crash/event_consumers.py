"""Consumers of every sink of events, which keep all that they get while its server is killed."""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pika
from google.protobuf.json_format import MessageToDict
from pika.adapters.blocking_connection import BlockingChannel
from redis import Redis
from redis.exceptions import RedisError

from media_service_client import Client, MediaServiceError
from media_service_client.retry import Backoff

# Longer than any server is away.
PATIENT = Backoff(first_seconds=0.05, ceiling_seconds=0.5, attempts=1000)
QUEUE = "consumer"
PHOTOS = "photo:"
# After so long, a queue is empty. On a busy machine, a broker pauses for seconds.
SILENCE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Told:
    """An event as a consumer got it. `number`: among those of its media; 0 for others."""

    event_id: str
    type: str
    subject: str
    number: int


def told(event: Mapping[str, Any]) -> Told:
    return Told(event["id"], event["type"], event["subject"], int(event.get("sequence", 0)))


class Watcher:
    """Follows events by WatchEvents with the client of Python, which resumes."""

    def __init__(self, address: str, access_token: str) -> None:
        self.got: list[Told] = []
        self.cursor = ""
        self.error = ""
        self._client = Client(address, token=access_token, backoff=PATIENT)
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        assert self._begun.wait(30), self.error

    def _follow(self) -> None:
        try:
            for seen in self._client.watch_events():
                if seen.HasField("event"):
                    self.got.append(told(MessageToDict(seen.event)))
                self.cursor = seen.cursor
                self._begun.set()
        except (MediaServiceError, ValueError) as error:  # or it is closed
            self.error = str(error)

    def close(self) -> None:
        self._client.close()
        self._thread.join(30)


class Subscriber:
    """Redis Pub/Sub. It subscribes to each new server before that is told anything."""

    def __init__(self) -> None:
        self.got: list[Told] = []
        self.photos: set[tuple[str, str]] = set()

    def subscribe(self, url: str) -> None:
        client: Any = Redis.from_url(url)
        subscription = client.pubsub()
        subscription.psubscribe("*")
        assert subscription.get_message(timeout=30)
        threading.Thread(target=self._listen, args=[client, subscription], daemon=True).start()

    def _listen(self, client: Any, subscription: Any) -> None:
        """`client`: closes its connections when nobody keeps it."""
        try:
            for message in subscription.listen():
                if message["type"] != "pmessage":
                    continue
                channel, data = message["channel"].decode(), json.loads(message["data"])
                if channel.startswith(PHOTOS):
                    self.photos.add((channel, data["id"]))
                else:
                    self.got.append(told(data))
        except (RedisError, OSError, ValueError):
            client.close()  # the server was killed


def streamed(url: str, stream: str) -> list[Told]:
    """What the stream of Redis has."""
    client: Any = Redis.from_url(url)
    entries = client.xrange(stream)
    client.close()
    return [told(json.loads(fields[b"event"])) for _, fields in entries]


def channel_of(url: str) -> BlockingChannel:
    return pika.BlockingConnection(pika.URLParameters(url)).channel()


def bind(url: str, exchange: str) -> None:
    """Declares a queue that gets everything, and survives its server."""
    channel = channel_of(url)
    channel.exchange_declare(exchange, "topic", durable=True)
    channel.queue_delete(QUEUE)
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(QUEUE, exchange, "#")
    channel.connection.close()


def queued(url: str, count: int) -> list[Told]:
    """What the queue has: at most until that many different events have come."""
    channel = channel_of(url)
    found, different = [], set[str]()
    # A quorum queue sends a consumer at most 2000 messages that are not acknowledged.
    for method, _, body in channel.consume(
        QUEUE, auto_ack=True, inactivity_timeout=SILENCE_SECONDS
    ):
        if method is None:
            break
        found.append(told(json.loads(body)))
        different.add(found[-1].event_id)
        if len(different) == count:
            break
    channel.connection.close()
    return found


def problems(name: str, got: Iterable[Told], events: Iterable[Told]) -> list[str]:
    """What is wrong with what a consumer got of these events: one is missing or unknown, or those
    of a media did not come in their order the first time."""
    first = list(dict.fromkeys(got))
    expected = set(events)
    found = [f"{name} did not get {each}" for each in expected.difference(first)]
    found += [f"{name} got {each}, which never happened" for each in set(first) - expected]
    last: dict[str, int] = {}
    for each in first:
        if each.number:
            if each.number != last.get(each.subject, 0) + 1:
                found.append(f"{name} got {each} behind {last.get(each.subject, 0)}")
            last[each.subject] = each.number
    return found
