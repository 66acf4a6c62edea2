"""Chunks between the caller who sends them and the writer who stores them.

Bounded in bytes, so that a caller who is faster than the disk waits, and memory stays flat.
"""

import asyncio
from collections import deque

from media_service.uploads.model import MIB, Chunk

CAPACITY = 4 * MIB


class Intake:
    """One producer puts and ends; one consumer takes, and can take what was put before the end."""

    def __init__(self) -> None:
        self.received = 0  # bytes, ever
        self.ended = False
        self.error: BaseException | None = None
        self._chunks: deque[Chunk] = deque()
        self._held = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()

    async def put(self, chunk: Chunk) -> None:
        """Waits while full. Dropped silently after the end: nobody will take it."""
        while self._held >= CAPACITY and not self.ended:
            self._drained.clear()
            await self._drained.wait()
        if self.ended:
            return
        self._chunks.append(chunk)
        self._held += len(chunk.data)
        self.received += len(chunk.data)
        self._filled.set()

    def end(self, error: BaseException | None = None) -> None:
        """No more will come; `error` says why, if there is a why. Only the first end counts."""
        if not self.ended:
            self.ended = True
            self.error = error
            self._filled.set()
            self._drained.set()

    async def take(self, timeout: float) -> list[Chunk]:
        """Everything put so far; waits for something up to `timeout` seconds, else nothing."""
        if not self._chunks and not self.ended:
            self._filled.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._filled.wait()
            except TimeoutError:
                return []
        chunks, self._chunks = list(self._chunks), deque()
        self._held = 0
        self._drained.set()
        return chunks
