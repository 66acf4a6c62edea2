"""A memory budget that concurrent tasks share."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class MemoryBudget:
    """Grants reservations in the order of requests, so that small requests cannot starve a large
    one."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._available = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def has_room(self, size: int) -> bool:
        """Whether a reservation of `size` bytes would not wait."""
        return not self._waiting and size <= self._available

    @asynccontextmanager
    async def reserve(self, size: int) -> AsyncIterator[None]:
        """Reserves `size` bytes, and waits until they are available. A request above the total
        reserves the total."""
        size = min(size, self._total)
        await self._acquire(size)
        try:
            yield
        finally:
            self._release(size)

    async def _acquire(self, size: int) -> None:
        if self.has_room(size):
            self._available -= size
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._release(size)  # it was granted just before the cancellation
            else:
                with suppress(ValueError):
                    self._waiting.remove((size, granted))
                self._release(0)  # a smaller request behind this one may fit now
            raise

    def _release(self, size: int) -> None:
        self._available += size
        while self._waiting and self._waiting[0][0] <= self._available:
            wanted, granted = self._waiting.popleft()
            if granted.cancelled():
                continue
            self._available -= wanted
            granted.set_result(None)
