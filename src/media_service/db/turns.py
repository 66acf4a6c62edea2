"""Turns at a limited resource, for callers that wait in line."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# If no caller gets a turn for so long, all of them hang.
STANDSTILL_SECONDS = 10.0


class Standstill(Exception):
    """No caller gets a turn any more."""


class Turns:
    """Lets `count` callers run at a time, and others in the order of their arrival. With `within`,
    each of them also needs a turn of those."""

    def __init__(self, count: int, within: "Turns | None" = None) -> None:
        self._free = asyncio.Semaphore(count)
        self._within = within
        self._moved = time.monotonic()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits while other callers make progress, because ten thousand callers form a long queue.
        A limit on the wait alone would fail them. Raises `Standstill`."""
        await self._acquire()
        try:
            self._moved = time.monotonic()
            if self._within is None:
                yield
            else:
                async with self._within.turn():
                    yield
        finally:
            self._free.release()

    async def _acquire(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        waiting = asyncio.ensure_future(self._free.acquire())
        try:
            while not (await asyncio.wait([waiting], timeout=STANDSTILL_SECONDS))[0]:
                if time.monotonic() - self._moved > STANDSTILL_SECONDS:
                    raise Standstill("no caller gets a connection any more")
        except BaseException:
            if not waiting.cancel() and not waiting.cancelled():
                self._free.release()
            raise
