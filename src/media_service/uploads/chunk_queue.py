"""A queue of chunks between the caller that sends them and the writer that stores them.

The queue is bounded in bytes. A caller that is faster than the disk has to wait, so memory use
stays constant.
"""

import asyncio
from contextlib import suppress

from media_service.storage.buffer import Buffer
from media_service.uploads.model import MIB, Chunk

CAPACITY = 2 * MIB
BATCH = MIB
LINGER_SECONDS = 0.02
# The memory a chunk takes in addition to its bytes. It matters for many tiny chunks.
OVERHEAD = 256


def held(data: Buffer) -> int:
    """The bytes of memory that `data` keeps alive. A view keeps its whole underlying buffer."""
    return memoryview(data.obj).nbytes if isinstance(data, memoryview) else len(data)


class ChunkQueue:
    """A queue for one producer and one consumer. Chunks put before the end can still be taken
    afterwards."""

    def __init__(self) -> None:
        self.received = 0  # total bytes
        self.ended = False
        self.error: BaseException | None = None
        self._chunks: list[Chunk] = []
        self._held = 0
        self._wanted = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()

    async def put(self, chunk: Chunk) -> None:
        """Adds a chunk. Waits while the queue is full. After the end, the chunk is dropped."""
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
        """Ends the queue, with an error if the stream failed. Only the first call has an effect."""
        if not self.ended:
            self.ended = True
            self.error = error
            self._filled.set()
            self._drained.set()

    async def take(self, timeout: float) -> list[Chunk]:
        """Takes all chunks. If there are none, waits up to `timeout` seconds, and may return an
        empty list.

        Waits briefly for a full batch, because a write costs the same for many bytes as for few.
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
