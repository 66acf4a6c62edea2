"""Receives the bytes of one part from a caller and writes them to the store: all or none."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

from crc32c import crc32c as crc32c_of

from media_service.errors import InvalidArgument, MediaError, Reason
from media_service.storage.driver import PartWriter
from media_service.uploads.chunk_queue import ChunkQueue
from media_service.uploads.model import Chunk
from media_service.uploads.stall import StallDetector

# How long the first bytes of a slow part wait for more, to share a write.
GATHER_SECONDS = 1.0


class PartStream:
    """Receives at most `limit` bytes. Raises `excess` if there are more."""

    def __init__(self, limit: int, excess: MediaError, timeout: timedelta) -> None:
        self.size = 0
        self.crc32c = 0
        self._queue = ChunkQueue(GATHER_SECONDS)
        self._limit = limit
        self._excess = excess
        self._timeout = timeout.total_seconds()

    async def feed(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    if self.size + len(chunk.data) > self._limit:
                        raise self._excess
                    # Compute it here, while the bytes are in the CPU cache.
                    self.crc32c = crc32c_of(chunk.data, self.crc32c)
                    self.size += len(chunk.data)
                    if chunk.data:
                        await self._queue.put(chunk)
                    del chunk  # free its memory while waiting for the next one
        except Exception as error:  # `receive` raises it
            self._queue.end(error)
        else:
            self._queue.end()

    def interrupt(self, error: MediaError) -> None:
        self._queue.end(error)

    async def receive(self, writer: PartWriter | None) -> None:
        """Receives all bytes and passes them to `writer`, if there is one.

        Afterwards, `size` and `crc32c` are those of the part. Raises the error of the caller's
        side.
        """
        stall = StallDetector(self._timeout)
        while True:
            chunks = await self._queue.take(max(stall.seconds_left, 0.001))
            if not chunks and self._queue.ended:
                break
            if writer is not None:
                await writer.write([chunk.data for chunk in chunks])
            if not self._queue.ended and (slow := stall.slow(self._queue.received)):
                self.interrupt(slow)
        if self._queue.error is not None:
            raise self._queue.error
        if self.size == 0:
            raise InvalidArgument(Reason.FILE_EMPTY, "The part has no bytes.")
