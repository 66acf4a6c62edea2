"""One caller's stream of bytes into one upload.

The caller's side (`feed`) checks chunks and puts them into the queue; the store's side (`store`)
takes them, writes, makes them durable and counts them. The store's side is never cancelled:
whatever happens to the caller, bytes that came are kept, files are closed.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
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
from media_service.uploads.chunk_queue import ChunkQueue
from media_service.uploads.model import MIB, Chunk, NewUpload, Part, Upload
from media_service.uploads.stall import StallDetector
from media_service.uploads.writer import BlobWriter

# A checkpoint costs one sync and one commit: after this many bytes, or this many seconds.
CHECKPOINT_BYTES = 32 * MIB
CHECKPOINT_SECONDS = 2.0
# A session that is created in place and finishes within these is stored in one step.
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
    """Whether a chunk may come next, at `position`."""
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
        f"An append needs at least {least} bytes unless it completes the upload. Nothing was kept."
        " Append more at once, or complete the upload with it.",
        min_append_size_bytes=least,
    )


class UploadStream:
    """Takes bytes from `writer.offset` on. With `atomic`, nothing is counted before the end, and
    nothing is kept unless the caller's side ends well.

    After `store`: `finish` and `checksums` are what the last chunk asked for; `held` is all of an
    upload that has no session, because it finished soon and can be stored in one step.
    """

    def __init__(
        self,
        writer: BlobWriter,
        checkpoints: Checkpoints,
        acceptance: Acceptance,
        timeout: timedelta,
        *,
        atomic: bool = False,
    ) -> None:
        self.finish = False
        self.checksums = Checksums()
        self.held: list[Chunk] = []
        self._holding = not checkpoints.exists
        self._held_bytes = 0
        self.committed_size = writer.offset
        self.queue = ChunkQueue()
        self._writer = writer
        self._checkpoints = checkpoints
        self._acceptance = acceptance
        self._timeout = timeout.total_seconds()
        self._atomic = atomic
        self._position = self._start = writer.offset
        self._checkpoint: asyncio.Task[None] | None = None
        self._next_checkpoint = time.monotonic() + self._soon()

    async def feed(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        """Reads chunks until the one that finishes, a wrong one, or the end."""
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
                    del chunk  # not to be held while the next one is waited for
        except asyncio.CancelledError:
            raise  # whoever cancels it ends the queue
        except Exception as error:  # raised on the other side
            self.queue.end(error)
        else:
            self.queue.end()

    async def store(self) -> None:
        """Stores what is fed until the feed ends. Raises what went wrong, on either side, once
        everything that can be kept is."""
        try:
            await self._write_all()
            if self._checkpoint is not None:
                await self._checkpoint
            if self.queue.error is not None and self._atomic:
                raise self.queue.error
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
            # A stream that rests with all it brought counted is not looked after until then.
            resting = not self._held_bytes and self._writer.offset == self.committed_size
            wait = stall.seconds_left
            if not resting:
                wait = min(wait, self._next_checkpoint - time.monotonic())
            chunks = await self.queue.take(max(wait, 0.001))
            if resting and chunks:
                self._next_checkpoint = time.monotonic() + self._soon()
            if self._holding:
                self.held += chunks
                self._held_bytes += sum(len(chunk.data) for chunk in chunks)
                await self._spill_if_due()
            elif chunks:
                await self._write(chunks)
            if self.queue.ended and not chunks:
                return
            del chunks
            if not self.queue.ended and (slow := stall.slow(self.queue.received)):
                self.interrupt(slow)
            if not self.queue.ended:
                self._checkpoint_if_due()

    def _soon(self) -> float:
        """Seconds from bytes that come to their checkpoint."""
        return CHECKPOINT_SECONDS if self._checkpoints.exists else FIRST_SECONDS

    async def _spill_if_due(self) -> None:
        """Goes on as a session once there is too much to be held, or it takes too long."""
        late = time.monotonic() >= self._next_checkpoint and not self.queue.ended
        if self._held_bytes > FIRST_BYTES or (self._held_bytes and late):
            await self._spill()

    async def _spill(self) -> None:
        self._checkpoints.store_session = await self._writer.begin()
        held, self.held, self._holding, self._held_bytes = self.held, [], False, 0
        await self._write(held)

    async def _write(self, chunks: list[Chunk]) -> None:
        await self._writer.write([chunk.data for chunk in chunks], joined_crc32c(chunks))

    def _checkpoint_if_due(self) -> None:
        """Begins to count what was written; one count at a time, while writing goes on."""
        if self._checkpoint is not None and self._checkpoint.done():
            self._checkpoint.result()
            self._checkpoint = None
        due = CHECKPOINT_BYTES if self._checkpoints.exists else FIRST_BYTES
        behind = self._writer.offset - self.committed_size
        if behind < due and time.monotonic() < self._next_checkpoint:
            return
        self._next_checkpoint = time.monotonic() + CHECKPOINT_SECONDS
        if behind and self._checkpoint is None and not self._atomic:
            self._checkpoint = asyncio.create_task(self._count(self._writer.sync))

    async def _seal(self) -> None:
        whole = self._checkpoints.spec.size_bytes in {None, self._held_bytes}
        if self._holding and self.finish and whole and self.queue.error is None:
            return
        if self._holding:
            await self._spill()
        # If more is to come, though this was to be the end, the rules for what is not the end hold.
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
        """Ends the stream from outside; what came before is still counted, if it may be."""
        self.queue.end(error)


def joined_crc32c(chunks: list[Chunk]) -> int | None:
    """Of all chunks together; None unless each one's is known."""
    joined = 0
    for chunk in chunks:
        if chunk.crc32c is None:
            return None
        joined = combine(joined, chunk.crc32c, len(chunk.data))
    return joined
