"""A limit on concurrent requests that send bytes, and on how long each may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Enough for a fast network. On a slow one, more requests at once would only make each slower.
CONCURRENT = 64


class SendLimiter:
    """The SDK waits without limit for a store to accept bytes. So each request may take `seconds`
    from when it starts, however long the queue is. A waiting request gives up only if no other one
    has finished for `seconds`. Raises TimeoutError."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._permits = asyncio.Semaphore(CONCURRENT)
        self._waiting: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        await self._wait()
        try:
            async with asyncio.timeout(self._seconds):
                yield
        finally:
            self._permits.release()
        self._extend_waits()

    async def _wait(self) -> None:
        async with asyncio.timeout(self._seconds) as patience:
            self._waiting.add(patience)
            try:
                await self._permits.acquire()
            finally:
                self._waiting.remove(patience)

    def _extend_waits(self) -> None:
        until = asyncio.get_running_loop().time() + self._seconds
        for patience in self._waiting:
            if not patience.expired():
                patience.reschedule(until)
