"""When requests that bring bytes are sent, and how long they may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Enough for a fast line. On a thin one more at once would only make each take longer.
AT_ONCE = 64


class Sending:
    """The SDK waits without end for a store to take bytes, so a request may take so many `seconds`;
    they are counted once it is its turn, however long the queue. Who waits goes on waiting as long
    as others get through. Raises TimeoutError."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        await self._wait()
        try:
            async with asyncio.timeout(self._seconds):
                yield
        finally:
            self._places.release()
        self._got_through()

    async def _wait(self) -> None:
        async with asyncio.timeout(self._seconds) as patience:
            self._waiting.add(patience)
            try:
                await self._places.acquire()
            finally:
                self._waiting.remove(patience)

    def _got_through(self) -> None:
        until = asyncio.get_running_loop().time() + self._seconds
        for patience in self._waiting:
            if not patience.expired():
                patience.reschedule(until)
