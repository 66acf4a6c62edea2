"""Limits concurrent requests that send bytes, and the duration of each request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Enough for a fast network. On a slow one, more requests at once would only make each slower.
CONCURRENT = 64


class SendLimiter:
    """Limits each request to `seconds` from its start, because the SDK waits without limit for a
    store to accept bytes. A queued request fails only if no other request has finished for
    `seconds`. Raises TimeoutError."""

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
