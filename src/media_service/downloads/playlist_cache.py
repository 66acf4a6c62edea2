"""Caches generated playlists, which many players request at the same time."""

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from cachetools import TLRUCache

from media_service.media.content import Content
from media_service.renders.singleflight import Singleflight

# Media id, stream id, path.
Key = tuple[str, str, str]

# How long a growing playlist is cached. Every player requests it repeatedly.
GROWING_TTL_SECONDS = 0.5
MAX_BYTES = 32 << 20
# How long the generation of a playlist continues after its last client has disconnected.
LINGER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Entry:
    content: Content
    expires: float


class PlaylistCache:
    def __init__(self) -> None:
        self._entries: TLRUCache[Key, Entry] = TLRUCache(
            MAX_BYTES,
            lambda _, entry, __: entry.expires,
            timer=time.monotonic,
            getsizeof=lambda entry: entry.content.size_bytes,
        )
        self._generating: Singleflight[Content] = Singleflight(LINGER_SECONDS)

    async def get(
        self, key: Key, *, final: bool, generate: Callable[[], Awaitable[Content]]
    ) -> Content:
        """Returns the cached playlist, or the result of `generate`. `final` means that the playlist
        will not change."""
        if entry := self._entries.get(key):
            return entry.content
        return await self._generating.run(key, partial(self._generate, key, final, generate))

    async def _generate(
        self, key: Key, final: bool, generate: Callable[[], Awaitable[Content]]
    ) -> Content:
        expires = math.inf if final else time.monotonic() + GROWING_TTL_SECONDS
        content = await generate()
        if content.size_bytes <= MAX_BYTES:
            self._entries[key] = Entry(content, expires)
        return content
