"""Chunks between the caller who sends them and the writer who stores them.

Bounded in bytes, so that a caller who is faster than the disk waits, and memory stays flat.
"""

import asyncio
from contextlib import suppress

from media_service.storage.buffer import Buffer
from media_service.uploads.model import MIB, Chunk

CAPACITY = 2 * MIB
BATCH = MIB
LINGER_SECONDS = 0.02
# What a chunk takes beside its bytes, or many tiny ones would fill the memory.
OVERHEAD = 256


def held(data: Buffer) -> int:
    """Bytes of memory that data takes: a view keeps all that it is a part of."""
    return memoryview(data.obj).nbytes if isinstance(data, memoryview) else len(data)


class ChunkQueue:
    """One producer puts and ends; one consumer takes, and can take what was put before the end."""

    def __init__(self) -> None:
        self.received = 0  # bytes, ever
        self.ended = False
        self.error: BaseException | None = None
        self._chunks: list[Chunk] = []
        self._held = 0
        self._wanted = 0
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
        self._held += held(chunk.data) + OVERHEAD
        self.received += len(chunk.data)
        if self._held >= self._wanted:
            self._filled.set()

    def end(self, error: BaseException | None = None) -> None:
        """No more will come; `error` says why, if there is a why. Only the first end counts."""
        if not self.ended:
            self.ended = True
            self.error = error
            self._filled.set()
            self._drained.set()

    async def take(self, timeout: float) -> list[Chunk]:
        """Everything put so far; waits for something up to `timeout` seconds, else nothing.

        Lingers a moment for a whole batch: what follows costs the same for much as for little.
        """
        await self._fill(0, timeout)
        if self._chunks:
            await self._fill(BATCH, LINGER_SECONDS)
        chunks, self._chunks = self._chunks, []
        self._held = 0
        self._drained.set()
        return chunks

    async def _fill(self, wanted: int, timeout: float) -> None:
        if (self._chunks and self._held >= wanted) or self.ended:
            return
        self._wanted = wanted
        self._filled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._filled.wait()
