"""Writes a stream of bytes as parts of a blob, and tracks which bytes are durable."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from crc32c import crc32c as crc32c_of

from media_service.errors import MediaError
from media_service.storage.buffer import Buffer
from media_service.storage.crc32c_combine import combine
from media_service.storage.driver import Driver, PartName, PartWriter
from media_service.uploads.model import KIB, Part

# Up to this many bytes, hashing is faster than handing the work to a thread.
SMALL = 256 * KIB
# The number of complete parts that are sent to an object store at the same time.
IN_FLIGHT = 4


class BlobWriter:
    """Appends to the open blob `key` at `offset`. Parts are numbered from `next_number`.

    SHA-256 takes longer than receiving and storing together. The writer computes it only if
    `hashing` is true and the stream starts at byte 0. Otherwise, the ingest job reads the blob.
    """

    def __init__(
        self,
        driver: Driver,
        key: str,
        session: str,
        epoch: int,
        next_number: int,
        offset: int,
        *,
        hashing: bool = True,
    ) -> None:
        self._driver = driver
        self._key = key
        self._session = session
        self._part = Part(next_number, offset, 0, 0, epoch, sealed=False)
        self._writer: PartWriter | None = None
        self._unrecorded: list[Part] = []
        self._sealing: deque[tuple[Part, asyncio.Task[None]]] = deque()
        self._open_is_recorded = False
        self._hash = hashlib.sha256() if hashing and offset == 0 else None
        self._hashing: asyncio.Future[None] | None = None

    async def begin(self) -> str:
        """Opens the blob in the store. Returns the store's session."""
        self._session = await self._driver.begin(self._key)
        return self._session

    @property
    def offset(self) -> int:
        """The position of the next byte in the file."""
        return self._part.offset + self._part.size

    @property
    def least(self) -> int:
        """The minimum size, in bytes, of every part but the last."""
        return self._driver.limits.min_part_size

    def sha256(self) -> bytes | None:
        """The SHA-256 of the file, or None if it was not computed. Call it after `seal_last`."""
        return self._hash.digest() if self._hash else None

    async def write(self, buffers: Sequence[Buffer], crc32c: int | None = None) -> None:
        """Appends the buffers. Hashing and writing run in parallel, outside the event loop.

        `crc32c` is the checksum of all the buffers together, if known.
        """
        buffers = [b for b in buffers if b]
        limit = self._driver.limits.target_part_size
        total = sum(map(len, buffers))
        while buffers:
            now, buffers = split(buffers, limit - self._part.size if limit else None)
            if self._writer is None:
                name = PartName(self._part.number, self._part.epoch)
                self._writer = await self._driver.open_part(self._key, self._session, name)
            await self._update_hash(now)
            await self._writer.write(now)
            written = sum(map(len, now))
            crc = self._part.crc32c
            if crc32c is not None and written == total:
                crc = combine(crc, crc32c, written)
            else:
                for data in now:
                    crc = crc32c_of(data, crc)
            size = self._part.size + written
            self._part = replace(self._part, size=size, crc32c=crc)
            if limit and size >= limit:
                await self._seal_meanwhile(self._writer)

    async def _update_hash(self, buffers: Sequence[Buffer]) -> None:
        """Hashes one batch at a time in a thread. Writing and receiving continue meanwhile."""
        if self._hashing is not None:
            await self._hashing
            self._hashing = None
        if self._hash is None:
            return
        if sum(map(len, buffers)) <= SMALL:
            update(self._hash, buffers)
        else:
            loop = asyncio.get_running_loop()
            self._hashing = loop.run_in_executor(None, update, self._hash, buffers)

    async def sync(self) -> tuple[int, list[Part]]:
        """Makes as many bytes durable as the store can.

        Returns the end of the durable prefix, and the parts that changed since the last call of
        `recorded`. It may run concurrently with `write`.
        """
        part, writer = self._part, self._writer
        while self._sealing and self._sealing[0][0].number < part.number:
            await self._sealed()
        unrecorded = [sealed for sealed in self._unrecorded if sealed.number < part.number]
        if writer is not None and await writer.sync() >= part.size:
            return part.offset + part.size, [*unrecorded, part]
        return part.offset, unrecorded

    async def seal(self) -> tuple[int, list[Part]]:
        """Ends a stream that does not complete the file. Returns the same as `sync`.

        All bytes become durable. Exception: an open part below the store's minimum part size is
        discarded, because other parts may follow it.
        """
        await self._all_sealed()
        if self._writer is not None:
            if self._part.size >= self._driver.limits.min_part_size:
                await self._seal(self._writer)
            else:
                await self._writer.discard()
                self._writer = None
        return self._part.offset, list(self._unrecorded)

    async def seal_last(self) -> tuple[int, list[Part]]:
        """Ends the stream that completes the file. The last part may have any size. Returns the
        same as `sync`."""
        if self._writer is not None:
            await self._seal(self._writer)
        await self._all_sealed()
        if self._hashing is not None:
            await self._hashing
        return self._part.offset, list(self._unrecorded)

    def recording(self, parts: Sequence[Part]) -> None:
        """Notes that these parts are being written to the database. From now on they may be there,
        even if the write reports an error."""
        self._open_is_recorded |= any(part.number == self._part.number for part in parts)

    def recorded(self, parts: Sequence[Part]) -> None:
        """Notes that these parts are in the database."""
        self._unrecorded = [part for part in self._unrecorded if part not in parts]

    async def abandon(self) -> None:
        """Stops after an error. Discards the open part unless the database may already list it.
        Never raises."""
        await asyncio.gather(*(task for _, task in self._sealing), return_exceptions=True)
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        if self._open_is_recorded:
            with suppress(MediaError):
                await writer.seal()
        else:
            await writer.discard()

    async def _seal(self, writer: PartWriter) -> None:
        await asyncio.gather(writer.seal(), self._all_sealed())
        self._unrecorded.append(self._next_part())

    async def _seal_meanwhile(self, writer: PartWriter) -> None:
        """Starts to seal the open part, so that the next part can be written in the meantime."""
        while len(self._sealing) >= IN_FLIGHT:
            await self._sealed()
        sealing = asyncio.create_task(writer.seal())
        self._sealing.append((self._next_part(), sealing))

    def _next_part(self) -> Part:
        """Starts the next part. Returns the previous part, marked as sealed."""
        part = replace(self._part, sealed=True)
        self._writer = None
        self._open_is_recorded = False
        self._part = Part(part.number + 1, part.offset + part.size, 0, 0, part.epoch, sealed=False)
        return part

    async def _all_sealed(self) -> None:
        while self._sealing:
            await self._sealed()

    async def _sealed(self) -> None:
        """Waits until the oldest part being sealed is durable. Raises the error if sealing it
        failed."""
        part, sealing = self._sealing[0]
        await asyncio.wait([sealing])
        if self._sealing and self._sealing[0][1] is sealing:  # no concurrent call handled it
            sealing.result()
            self._sealing.popleft()
            self._unrecorded.append(part)


def update(digest: "hashlib._Hash", buffers: Sequence[Buffer]) -> None:
    for data in buffers:
        digest.update(data)


def split(buffers: list[Buffer], room: int | None) -> tuple[list[Buffer], list[Buffer]]:
    """Splits buffers into the first `room` bytes and the rest. None means no limit."""
    if room is None:
        return buffers, []
    for index, data in enumerate(buffers):
        if len(data) > room:
            return [*buffers[:index], data[:room]], [data[room:], *buffers[index + 1 :]]
        room -= len(data)
        if room == 0:
            return buffers[: index + 1], buffers[index + 1 :]
    return buffers, []
