"""A caller's stream of bytes into one upload.

The caller's side (`feed`) checks chunks and puts them into a queue. The store's side (`store`)
takes chunks from the queue, writes them, makes them durable and counts them. The store's side is
never cancelled: if the caller disconnects, received bytes are kept and files are closed.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, nullcontext
from datetime import timedelta

from media_service.errors import (
    InvalidArgument,
    MediaError,
    OutOfRange,
    Reason,
)
from media_service.storage.checksums import Checksums
from media_service.storage.crc32c_combine import combine
from media_service.uploads.acceptance import Acceptance, merge
from media_service.uploads.checkpoints import Checkpoints
from media_service.uploads.chunk_queue import SMALL_BATCH, ChunkQueue, tick_after
from media_service.uploads.first_bytes import FirstBytes
from media_service.uploads.load import UploadLoad
from media_service.uploads.model import MIB, Chunk, NewUpload, Part, Upload
from media_service.uploads.stall import StallDetector
from media_service.uploads.writer import BlobWriter

# The bytes or seconds between two checkpoints. A checkpoint costs a sync and a row. Bytes are
# recorded at most 2 seconds after they arrived, of which the sync and the commit need a part.
CHECKPOINT_BYTES = 32 * MIB
CHECKPOINT_SECONDS = 1.25
# A new upload that finishes within these limits is stored in one step, without a session.
FIRST_BYTES = MIB
FIRST_SECONDS = 0.25

Durable = tuple[int, list[Part]]


def check_chunk(
    chunk: Chunk,
    position: int,
    committed_size: int,
    upload: NewUpload | Upload,
    acceptance: Acceptance,
) -> None:
    """Checks that a chunk may be the next one, at `position`. Raises OutOfRange (OFFSET_MISMATCH)
    and InvalidArgument (SIZE_EXCEEDED, FILE_TOO_LARGE)."""
    if chunk.offset is not None and chunk.offset != position:
        raise OutOfRange(
            Reason.OFFSET_MISMATCH,
            f"The offset of these bytes is {chunk.offset}, but must be {position}. Call GetUpload"
            " and continue at committed_size_bytes.",
            upload_id=upload.upload_id,
            committed_size_bytes=committed_size,
            expected_offset=position,
        )
    end = position + len(chunk.data)
    acceptance.check_end(upload.spec, end)


def too_small(least: int) -> InvalidArgument:
    return InvalidArgument(
        Reason.APPEND_TOO_SMALL,
        f"An append needs at least {least} bytes unless it completes the upload."
        " Nothing was stored. Send more bytes, or complete the upload with this append.",
        min_append_size_bytes=least,
    )


class UploadStream:
    """Receives bytes starting at `writer.offset`.

    With `atomic`, bytes are counted only at the end, and discarded if the caller's side fails.
    `timeout` is the stall timeout; see `StallDetector`.

    After `store` returns, `finish` and `checksums` are those of the last chunk. `held` is the
    content of an upload that finished before it had a session and can be stored in one step.
    `refusal`: the first bytes are not accepted, so the upload can never finish.
    """

    def __init__(
        self,
        writer: BlobWriter,
        checkpoints: Checkpoints,
        acceptance: Acceptance,
        load: UploadLoad,
        timeout: timedelta,
        *,
        atomic: bool = False,
    ) -> None:
        self.finish = False
        self.checksums = Checksums()
        self.held: list[Chunk] = []
        self.refusal: MediaError | None = None
        self._holding = not checkpoints.exists
        self._held_bytes = 0
        self.committed_size = writer.offset
        self.queue = ChunkQueue(FIRST_SECONDS if self._holding else CHECKPOINT_SECONDS)
        self._writer = writer
        self._checkpoints = checkpoints
        self._acceptance = acceptance
        self._load = load
        self._timeout = timeout.total_seconds()
        self._atomic = atomic
        self._position = self._start = writer.offset
        self._checkpoint: asyncio.Task[None] | None = None
        self._next_checkpoint = 0.0
        self._oldest_arrival = 0.0  # of the bytes that are not counted
        starts = self._start == 0
        self._first_bytes = (
            FirstBytes(acceptance, checkpoints.spec.content_type) if starts else None
        )

    async def feed(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        """Reads chunks until one finishes the upload, one is invalid, or the stream ends."""
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    check_chunk(
                        chunk,
                        self._position,
                        self.committed_size,
                        self._checkpoints.upload,
                        self._acceptance,
                    )
                    self._position += len(chunk.data)
                    if chunk.data:
                        await self.queue.put(chunk)
                    if chunk.finish:
                        merge(self._checkpoints.spec.checksums, chunk.checksums)
                        self.finish, self.checksums = True, chunk.checksums
                        break
                    del chunk  # free its memory while waiting for the next one
        except asyncio.CancelledError:
            raise  # the code that cancels this task also ends the queue
        except Exception as error:  # `store` raises it
            self.queue.end(error)
        else:
            self.queue.end()

    async def store(self) -> None:
        """Stores the chunks until the feed ends. Raises the error of either side, after all bytes
        that can be kept are durable."""
        try:
            await self._write_all()
            if self._checkpoint is not None:
                await self._checkpoint
            if self.queue.error is not None and self._atomic:
                raise self.queue.error
            if (
                self.queue.error is None
                and self._position != self._writer.offset + self._held_bytes
            ):
                raise RuntimeError("bytes were received and not written")
            await self._seal()
        except BaseException as error:
            self.queue.end(error)
            if self._checkpoint is not None:
                await asyncio.wait([self._checkpoint])
            await self._writer.abandon()
            raise
        if self.queue.error is not None:
            raise self.queue.error
        if self.queue.received and self.committed_size == self._start and not self.finish:
            raise too_small(self._writer.least)

    async def _write_all(self) -> None:
        stall = StallDetector(self._timeout)
        while True:
            # An idle stream whose bytes are all counted needs no checkpoint.
            resting = not self._held_bytes and self._writer.offset == self.committed_size
            wait = stall.seconds_left
            if not resting:
                wait = min(wait, self._next_checkpoint - time.monotonic())
            chunks = await self.queue.take(max(wait, 0.001))
            # Decided before any other wait, during which more chunks and the end may arrive.
            if self.queue.ended and not chunks:
                return
            if resting and chunks:
                self._oldest_arrival = self.queue.first_arrival
                self._next_checkpoint = self.queue.first_arrival + self.queue.patience
            if self._holding:
                self.held += chunks
                self._held_bytes += sum(len(chunk.data) for chunk in chunks)
                await self._spill_if_due()
            elif chunks:
                self._look(chunks)
                await self._write(chunks)
            del chunks
            if not self.queue.ended and (slow := stall.slow(self.queue.received)):
                self.interrupt(slow)
            if not self.queue.ended:
                await self._checkpoint_if_due()

    async def _spill_if_due(self) -> None:
        """Creates a session once the held bytes exceed FIRST_BYTES or FIRST_SECONDS pass."""
        late = time.monotonic() >= self._next_checkpoint and not self.queue.ended
        if self._held_bytes > FIRST_BYTES or (self._held_bytes and late):
            await self._spill()

    def _look(self, chunks: list[Chunk]) -> None:
        """Refuses a file by its first bytes."""
        if self._first_bytes is None:
            return
        try:
            self._first_bytes.add([chunk.data for chunk in chunks])
        except MediaError as error:
            self.refusal = error
            raise

    async def _spill(self) -> None:
        self._look(self.held)
        self._checkpoints.store_session = await self._writer.begin()
        held, self.held, self._holding, self._held_bytes = self.held, [], False, 0
        self.queue.patience = CHECKPOINT_SECONDS
        await self._write(held)

    async def _write(self, chunks: list[Chunk]) -> None:
        await self._writer.write([chunk.data for chunk in chunks], joined_crc32c(chunks))

    async def _checkpoint_if_due(self) -> None:
        """Starts a checkpoint if one is due. At most one runs at a time, concurrently with
        writing. That of a slow stream is awaited, because its next bytes can wait."""
        if self._checkpoint is not None and self._checkpoint.done():
            self._checkpoint.result()
            self._checkpoint = None
        due = CHECKPOINT_BYTES if self._checkpoints.exists else FIRST_BYTES
        behind = self._writer.offset - self.committed_size
        if behind < due and time.monotonic() < self._next_checkpoint:
            return
        self._next_checkpoint = tick_after(time.monotonic() + CHECKPOINT_SECONDS)
        if behind and self._first_bytes is not None:
            self._first_bytes.counted()
        if not behind or self._checkpoint is not None or self._atomic:
            return
        if behind < SMALL_BATCH:
            # Creating sessions takes long in a burst of new uploads, which is no overload.
            exists = self._checkpoints.exists
            with self._load.recording(self._oldest_arrival) if exists else nullcontext():
                await self._count(self._writer.sync)
        else:
            self._checkpoint = asyncio.create_task(self._count(self._writer.sync))

    async def _seal(self) -> None:
        whole = self._checkpoints.spec.size_bytes in {None, self._held_bytes}
        if self._holding and self.finish and whole and self.queue.error is None:
            return
        if self._holding:
            await self._spill()
        # If bytes are missing, this is not the end of the file, even if the caller asked to finish.
        last = self.finish and self._checkpoints.spec.size_bytes in {None, self._writer.offset}
        seal = self._writer.seal_last if last else self._writer.seal
        await self._count(seal, last=True)

    async def _count(
        self, make_durable: Callable[[], Awaitable[Durable]], *, last: bool = False
    ) -> None:
        committed_size, parts = await make_durable()
        if committed_size > self.committed_size or parts or (last and self._checkpoints.exists):
            self._writer.recording(parts)
            await self._checkpoints.count(committed_size, parts, last=last)
            self.committed_size = committed_size
            self._writer.recorded(parts)

    def interrupt(self, error: MediaError) -> None:
        """Ends the stream from outside. Bytes received earlier are still counted if possible."""
        self.queue.end(error)


def joined_crc32c(chunks: list[Chunk]) -> int | None:
    """The CRC32C of all chunks together, or None if that of any chunk is unknown."""
    joined = 0
    for chunk in chunks:
        if chunk.crc32c is None:
            return None
        joined = combine(joined, chunk.crc32c, len(chunk.data))
    return joined
