"""Caches generated playlists, which many players request at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from media_service.media.content import Content

# Media id, stream id, path.
Key = tuple[str, str, str]

# Every player requests a growing playlist again and again.
GROWING_TTL_SECONDS = 0.5
MAX_BYTES = 32 << 20


@dataclass(slots=True)
class Entry:
    """`expires`: by the clock of the event loop; None: never."""

    task: "asyncio.Task[Content]"
    expires: float | None


class PlaylistCache:
    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._bytes = 0

    async def get(
        self, key: Key, *, final: bool, generate: Callable[[], Awaitable[Content]]
    ) -> Content:
        """The cached playlist, or the result of `generate`. `final`: it will not change."""
        now = asyncio.get_running_loop().time()
        entry = self._entries.get(key)
        if entry is None or (entry.expires is not None and entry.expires < now):
            self._remove(key)
            expires = None if final else now + GROWING_TTL_SECONDS
            entry = Entry(asyncio.ensure_future(generate()), expires)
            self._entries[key] = entry
            entry.task.add_done_callback(lambda task: self._generated(key, task))
        # A cancelled caller leaves the task to the others.
        return await asyncio.shield(entry.task)

    def _generated(self, key: Key, task: "asyncio.Task[Content]") -> None:
        if task.cancelled() or task.exception():
            if key in self._entries and self._entries[key].task is task:
                del self._entries[key]
            return
        self._bytes += task.result().size_bytes
        while self._bytes > MAX_BYTES and len(self._entries) > 1:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry and entry.task.done() and not entry.task.exception():
            self._bytes -= entry.task.result().size_bytes
