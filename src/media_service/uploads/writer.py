"""Writes one stream of bytes as parts of one blob, and knows what of it is durable."""

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

# What is hashed in less time than it takes to ask a thread.
SMALL = 256 * KIB
# Whole parts that are on their way to an object store at the same time.
IN_FLIGHT = 4


class BlobWriter:
    """Appends to the open blob `key` from `offset` on, as parts numbered from `next_number`.

    SHA-256 takes longer than receiving and storing together. So it is computed only if `hashing`,
    and of a stream that began at byte 0; otherwise ingest reads the blob.
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
        """Opens the blob in the store, if it was not yet; returns the store's session."""
        self._session = await self._driver.begin(self._key)
        return self._session

    @property
    def offset(self) -> int:
        """Where the next byte goes."""
        return self._part.offset + self._part.size

    @property
    def least(self) -> int:
        """The bytes a part needs that others follow."""
        return self._driver.limits.min_part_size

    def sha256(self) -> bytes | None:
        """Of the whole, after `seal_last`; None if it is not known."""
        return self._hash.digest() if self._hash else None

    async def write(self, buffers: Sequence[Buffer], crc32c: int | None = None) -> None:
        """Appends; hashing and writing run side by side, both outside of the event loop.
        `crc32c`: of all the buffers, if it is known."""
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
        """Hashes in a thread, one batch at a time, while the next one is written and received."""
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
        """Makes durable what the store can. Returns the end of the durable prefix, and the parts
        that changed since `recorded`. May run while `write` goes on."""
        part, writer = self._part, self._writer
        while self._sealing and self._sealing[0][0].number < part.number:
            await self._sealed()
        unrecorded = [sealed for sealed in self._unrecorded if sealed.number < part.number]
        if writer is not None and await writer.sync() >= part.size:
            return part.offset + part.size, [*unrecorded, part]
        return part.offset, unrecorded

    async def seal(self) -> tuple[int, list[Part]]:
        """Ends the stream: everything is durable, or, below the store's minimum for a part that
        more may follow, forgotten. As `sync`."""
        await self._all_sealed()
        if self._writer is not None:
            if self._part.size >= self._driver.limits.min_part_size:
                await self._seal(self._writer)
            else:
                await self._writer.discard()
                self._writer = None
        return self._part.offset, list(self._unrecorded)

    async def seal_last(self) -> tuple[int, list[Part]]:
        """As `seal`, for the blob's end, where no part is too small."""
        if self._writer is not None:
            await self._seal(self._writer)
        await self._all_sealed()
        if self._hashing is not None:
            await self._hashing
        return self._part.offset, list(self._unrecorded)

    def recording(self, parts: Sequence[Part]) -> None:
        """These parts may be in the database from now on, whatever its answer will be."""
        self._open_is_recorded |= any(part.number == self._part.number for part in parts)

    def recorded(self, parts: Sequence[Part]) -> None:
        """These parts are in the database."""
        self._unrecorded = [part for part in self._unrecorded if part not in parts]

    async def abandon(self) -> None:
        """Stops halfway. The open part goes, unless it may have been counted. Never raises."""
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
        """Seals the open part while the next one is written."""
        while len(self._sealing) >= IN_FLIGHT:
            await self._sealed()
        sealing = asyncio.create_task(writer.seal())
        self._sealing.append((self._next_part(), sealing))

    def _next_part(self) -> Part:
        """Goes on to the next part; returns the one before, as it is when it is sealed."""
        part = replace(self._part, sealed=True)
        self._writer = None
        self._open_is_recorded = False
        self._part = Part(part.number + 1, part.offset + part.size, 0, 0, part.epoch, sealed=False)
        return part

    async def _all_sealed(self) -> None:
        while self._sealing:
            await self._sealed()

    async def _sealed(self) -> None:
        """Waits for the first of the parts that are being sealed. Raises what went wrong."""
        part, sealing = self._sealing[0]
        await asyncio.wait([sealing])
        if self._sealing and self._sealing[0][1] is sealing:  # nobody else waited for it, too
            sealing.result()
            self._sealing.popleft()
            self._unrecorded.append(part)


def update(digest: "hashlib._Hash", buffers: Sequence[Buffer]) -> None:
    for data in buffers:
        digest.update(data)


def split(buffers: list[Buffer], room: int | None) -> tuple[list[Buffer], list[Buffer]]:
    """The first `room` bytes, and the rest; None: no limit."""
    if room is None:
        return buffers, []
    for index, data in enumerate(buffers):
        if len(data) > room:
            return [*buffers[:index], data[:room]], [data[room:], *buffers[index + 1 :]]
        room -= len(data)
        if room == 0:
            return buffers[: index + 1], buffers[index + 1 :]
    return buffers, []
