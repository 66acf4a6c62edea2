"""Playlists that were put together, in memory: many ask for the same at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from media_service.media.content import Content

# Media id, stream id, path.
Key = tuple[str, str, str]

# One that grows is asked for by each player again and again.
GROWING_SECONDS = 0.5
# All together.
MOST_BYTES = 32 << 20


@dataclass(slots=True)
class Entry:
    """`until`: when it is put together again, by the clock of the event loop; None: never."""

    making: "asyncio.Task[Content]"
    until: float | None


class Playlists:
    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._bytes = 0

    async def get(
        self, key: Key, *, final: bool, make: Callable[[], Awaitable[Content]]
    ) -> Content:
        """What `make` gives, or gave just now; if it is `final`, whenever."""
        now = asyncio.get_running_loop().time()
        entry = self._entries.get(key)
        if entry is None or (entry.until is not None and entry.until < now):
            self._forget(key)
            until = None if final else now + GROWING_SECONDS
            entry = Entry(asyncio.ensure_future(make()), until)
            self._entries[key] = entry
            entry.making.add_done_callback(lambda made: self._made(key, made))
        # Whoever goes away leaves it to the others.
        return await asyncio.shield(entry.making)

    def _made(self, key: Key, made: "asyncio.Task[Content]") -> None:
        if made.cancelled() or made.exception():
            if key in self._entries and self._entries[key].making is made:
                del self._entries[key]
            return
        self._bytes += made.result().size_bytes
        while self._bytes > MOST_BYTES and len(self._entries) > 1:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry and entry.making.done() and not entry.making.exception():
            self._bytes -= entry.making.result().size_bytes
