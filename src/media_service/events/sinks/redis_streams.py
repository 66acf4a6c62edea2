"""A stream of Redis or Valkey, which keeps the newest events for consumers and their groups.

The id of an entry is the cursor of its event. Redis accepts only ids that grow, so an event that is
published again is not added again.
"""

from collections.abc import Sequence

from redis.exceptions import ResponseError

from media_service.events.addresses import Addresses
from media_service.events.envelope import to_json
from media_service.events.model import Cursor, RelayedEvent
from media_service.events.sink import Sink, SinkUnavailable
from media_service.events.sinks.redis import FAILURES, connect

STREAM = "media:events"
# About so many entries are kept: some hundred megabytes at most.
MAX_LENGTH = 500_000
HAS_NEWER = "equal or smaller than the target stream top item"


class RedisStreamsSink:
    name = "redis_streams"

    def __init__(self, url: str, addresses: Addresses) -> None:
        self._redis = connect(url)
        self._addresses = addresses

    async def publish(self, events: Sequence[RelayedEvent]) -> None:
        if not events:
            return
        try:
            await self._add(events)
        except FAILURES as error:
            raise SinkUnavailable(f"MEDIA_EVENTS_REDIS_STREAMS: {error}") from error

    async def _add(self, events: Sequence[RelayedEvent]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for event in events:
                entry = {"type": event.type, "event": to_json(event, self._addresses.service)}
                pipeline.xadd(
                    *(STREAM, entry), id=str(event.cursor), maxlen=MAX_LENGTH, approximate=True
                )
            answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            known = isinstance(answer, ResponseError) and HAS_NEWER in str(answer)
            if isinstance(answer, Exception) and not known:
                raise answer
        if isinstance(answers[-1], ResponseError):
            await self._check_known(events[-1].cursor)

    async def _check_known(self, last: Cursor) -> None:
        """A batch that is repeated ends where the stream ends, or behind that."""
        info = await self._redis.xinfo_stream(STREAM)
        newest = Cursor.parse(info["last-generated-id"].decode())
        if newest is None or (newest.epoch, newest.number) > (last.epoch, last.number):
            raise SinkUnavailable(
                f"MEDIA_EVENTS_REDIS_STREAMS: the stream {STREAM} already has the id {newest}. If"
                " the database was restored from a backup, run `media-service events new-epoch`."
            )

    async def close(self) -> None:
        await self._redis.aclose()


def open_sink(url: str, addresses: Addresses) -> Sink:
    return RedisStreamsSink(url, addresses)
