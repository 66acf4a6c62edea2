"""Removes what the cache holds of media whose renditions have changed, as a sink of events.

A value that is left would not be read: see `media.cached_renditions`. But what is purged or erased
must be nowhere, and memory is for what is read.
"""

from collections.abc import Sequence

from media_service.cache.cache import Cache, CacheUnavailable
from media_service.cache.keys import renditions_key
from media_service.db.event_types import EventType
from media_service.events.model import RelayedEvent
from media_service.events.sink import SinkUnavailable

CHANGES = {
    EventType.MEDIA_DELETED,
    EventType.MEDIA_PURGED,
    EventType.MEDIA_REPLACED,
    EventType.MEDIA_VERSION_DELETED,
    EventType.RENDITION_CREATED,
    EventType.RENDITION_DELETED,
}


class CacheSink:
    name = "cache"

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def publish(self, events: Sequence[RelayedEvent]) -> None:
        changed = [event.media_id for event in events if event.type in CHANGES]
        keys = dict.fromkeys(map(renditions_key, changed))
        if not keys:
            return
        try:
            await self._cache.remove(tuple(keys))
        except CacheUnavailable as error:
            raise SinkUnavailable(f"MEDIA_CACHE_REDIS: {error}") from error

    async def close(self) -> None:
        await self._cache.close()
