"""Redis or Valkey Pub/Sub. Each event is a message on the channel that is named like its type.

Existing consumers of images have two channels of their own: `photo:uploaded` and `photo:deleted`.
Pub/Sub keeps nothing: who is not subscribed misses it. `redis_streams` is for those who may not.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from media_service.db.event_types import EventType
from media_service.events.addresses import Addresses
from media_service.events.envelope import to_json
from media_service.events.model import RelayedEvent
from media_service.events.sink import Sink, SinkUnavailable

UPLOADED, DELETED = "photo:uploaded", "photo:deleted"
IMAGE = "IMAGE"
TIMEOUT_SECONDS = 5.0
FAILURES = (RedisError, OSError)


def connect(url: str) -> Any:
    """Raises ValueError if the URL is not valid. Connections are opened when they are needed."""
    return Redis.from_url(
        url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        # A connection that the server has closed is replaced.
        retry=Retry(NoBackoff(), 1),
    )


def photo_messages(event: RelayedEvent, addresses: Addresses) -> Iterator[tuple[str, str]]:
    """What existing consumers of images expect of this event: channels and messages."""
    if event.data.get("kind") != IMAGE:
        return
    if event.type == EventType.MEDIA_CREATED:
        message = {
            "id": event.media_id,
            "userId": event.owner_id,
            "url": addresses.of_media(event),
            "contentType": event.data["contentType"],
            "sizeBytes": event.data["sizeBytes"],
            "uploadedAt": event.time.isoformat(),
        }
        yield UPLOADED, json.dumps(message, separators=(",", ":"))
    if event.type == EventType.MEDIA_DELETED:
        yield DELETED, json.dumps({"id": event.media_id}, separators=(",", ":"))


class RedisSink:
    name = "redis"

    def __init__(self, url: str, addresses: Addresses) -> None:
        self._redis = connect(url)
        self._addresses = addresses

    async def publish(self, events: Sequence[RelayedEvent]) -> None:
        if not events:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for event in events:
                    pipeline.publish(event.type, to_json(event, self._addresses.service))
                    for channel, message in photo_messages(event, self._addresses):
                        pipeline.publish(channel, message)
                await pipeline.execute()
        except FAILURES as error:
            raise SinkUnavailable(f"MEDIA_EVENTS_REDIS: {error}") from error

    async def close(self) -> None:
        await self._redis.aclose()


def open_sink(url: str, addresses: Addresses) -> Sink:
    return RedisSink(url, addresses)
