"""A queue of chunks between the caller that sends them and the writer that stores them.

The queue is bounded in bytes. A caller that is faster than the disk has to wait, so memory use
stays constant. Chunks are taken in batches, because each batch costs a write, and each write of a
slow stream a checkpoint.
"""

import asyncio
import math

from media_service.storage.buffer import Buffer
from media_service.uploads.model import KIB, MIB, Chunk

CAPACITY = 2 * MIB
# A batch of this size is taken at once.
BATCH = MIB
# A batch of this size is taken after a short time.
SMALL_BATCH = 64 * KIB
LINGER_SECONDS = 0.02
# A smaller batch is taken only at a multiple of this time, so that many streams share their work.
TICK_SECONDS = 0.05
# The memory a chunk takes in addition to its bytes. It matters for many tiny chunks.
OVERHEAD = 256


def held(data: Buffer) -> int:
    """The bytes of memory that `data` keeps alive. A view keeps its whole underlying buffer."""
    return memoryview(data.obj).nbytes if isinstance(data, memoryview) else len(data)


def tick_after(time: float) -> float:
    return math.ceil(time / TICK_SECONDS) * TICK_SECONDS


class ChunkQueue:
    """A queue for one producer and one consumer. Chunks put before the end can still be taken
    afterwards.

    `patience`: how many seconds the first chunks of a batch smaller than SMALL_BATCH wait for more.
    """

    def __init__(self, patience: float) -> None:
        self.received = 0  # total bytes
        self.ended = False
        self.error: BaseException | None = None
        self.patience = patience
        self.first_arrival = 0.0  # of the latest batch, on the clock of the event loop
        self._chunks: list[Chunk] = []
        self._held = 0
        self._drained = asyncio.Event()
        # When the chunks are a batch, on the clock of the event loop.
        self._due = math.inf
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def put(self, chunk: Chunk) -> None:
        """Adds a chunk. Waits while the queue is full. After the end, the chunk is dropped."""
        while self._held >= CAPACITY and not self.ended:
            self._drained.clear()
            await self._drained.wait()
        if self.ended:
            return
        first, before = not self._chunks, self._held
        if first:
            self.first_arrival = asyncio.get_running_loop().time()
        self._chunks.append(chunk)
        self._held += held(chunk.data) + OVERHEAD
        self.received += len(chunk.data)
        if self._held >= BATCH:
            self._wake()
        elif self._held >= SMALL_BATCH:
            if before < SMALL_BATCH:
                self._set_due(asyncio.get_running_loop().time() + LINGER_SECONDS)
        elif first:
            self._set_due(tick_after(self.first_arrival + self.patience))

    def _set_due(self, time: float) -> None:
        if time < self._due:
            self._due = time
            self._set_timer(time)

    def end(self, error: BaseException | None = None) -> None:
        """Ends the queue, with an error if the stream failed. Only the first call has an effect."""
        if not self.ended:
            self.ended = True
            self.error = error
            self._wake()
            self._drained.set()

    async def take(self, timeout: float) -> list[Chunk]:
        """Takes all chunks as soon as they are a batch, or after `timeout` seconds. Then the list
        may be empty."""
        if not self.ended and self._held < BATCH:
            loop = asyncio.get_running_loop()
            deadline = min(loop.time() + timeout, self._due)
            self._waiter = loop.create_future()
            try:
                self._set_timer(deadline)
                await self._waiter
            finally:
                self._waiter = None
                self._cancel_timer()
        chunks, self._chunks = self._chunks, []
        self._held = 0
        self._due = math.inf
        self._drained.set()
        return chunks

    def _set_timer(self, time: float) -> None:
        """Wakes the consumer at that time at the latest."""
        if self._waiter is None or (self._timer is not None and self._timer.when() <= time):
            return
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_at(time, self._wake)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
