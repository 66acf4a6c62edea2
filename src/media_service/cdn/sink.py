"""Purges the keys of media whose public content has changed, as a sink of events.

So a purge is retried until the CDN has accepted it, also after a restart, and follows the fact:
what the CDN asks for after it is the new content, or a refusal.
"""

from collections.abc import Sequence

from media_service.cdn.keys import key_of
from media_service.cdn.purger import PurgeFailed, Purger
from media_service.db.event_types import EventType
from media_service.events.model import RelayedEvent
from media_service.events.sink import SinkUnavailable

# They change what is at a public address, or end it.
CHANGES = {
    EventType.MEDIA_UPDATED,
    EventType.MEDIA_DELETED,
    EventType.MEDIA_PURGED,
    EventType.MEDIA_FAILED,
    EventType.MEDIA_QUARANTINED,
    EventType.MEDIA_REPLACED,
    EventType.MEDIA_STRIPPED,
    EventType.MEDIA_VERSION_DELETED,
    EventType.RENDITION_CREATED,
    EventType.RENDITION_DELETED,
}
PRIVATE = "PRIVATE"


def is_purged(event: RelayedEvent) -> bool:
    """A media that is private was purged when it became private."""
    if event.type not in CHANGES:
        return False
    return event.type == EventType.MEDIA_UPDATED or event.data.get("visibility") != PRIVATE


class CdnSink:
    name = "cdn"

    def __init__(self, purger: Purger) -> None:
        self._purger = purger

    async def publish(self, events: Sequence[RelayedEvent]) -> None:
        keys = dict.fromkeys(key_of(event.media_id) for event in events if is_purged(event))
        if not keys:
            return
        try:
            await self._purger.purge(tuple(keys))
        except PurgeFailed as error:
            raise SinkUnavailable(f"MEDIA_CDN_PURGE: {error}") from error

    async def close(self) -> None:
        await self._purger.close()
