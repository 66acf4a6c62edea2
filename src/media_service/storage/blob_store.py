"""The store that the rest of the service uses: one concrete class over any driver."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from secrets import randbits

from media_service.errors import DataLoss, MediaError
from media_service.storage.driver import Driver, PartName, StoredPart, require_blob
from media_service.storage.drivers import open_driver
from media_service.storage.piece_size import PieceSize
from media_service.temporary_files import temporary_file

HASH_CHUNK = 4 << 20
# Smaller blobs are copied without parts.
SMALL = 4 << 20


class BlobStore:
    """Reads blobs and ranges of them, and hands out the driver for writing."""

    def __init__(self, name: str, driver: Driver) -> None:
        self.name = name
        self.driver = driver

    @staticmethod
    def key(blob_id: str) -> str:
        """The key of a blob. The last hex digits of a UUIDv7 are random, so folders fill evenly."""
        return f"blobs/{blob_id[-2:]}/{blob_id}"

    def read(
        self, key: str, offset: int, length: int, piece_size: PieceSize
    ) -> AsyncGenerator[bytes, None]:
        return self.driver.read(key, offset, length, piece_size)

    async def head(self, key: str, size: int, limit: int) -> bytes:
        """Reads the first `limit` bytes of a blob of `size` bytes."""
        length = min(size, limit)
        return b"".join([chunk async for chunk in self.driver.read(key, 0, length, HASH_CHUNK)])

    async def sha256(self, key: str, size: int) -> bytes:
        """Reads the whole blob and returns the 32 bytes of its SHA-256."""
        digest = hashlib.sha256()
        async for chunk in self.driver.read(key, 0, size, HASH_CHUNK):
            await asyncio.to_thread(digest.update, chunk)
        return digest.digest()

    @asynccontextmanager
    async def as_file(self, key: str, size: int) -> AsyncIterator[Path]:
        """The blob as a local file to read: the store's own file if there is one, or a temporary
        copy."""
        if path := self.driver.local_path(key):
            async with self.reading_file(key, size):
                yield path
            return
        with temporary_file("media-blob-") as copy:
            async for chunk in self.driver.read(key, 0, size, HASH_CHUNK):
                await asyncio.to_thread(copy.write, chunk)
            copy.flush()
            yield Path(copy.name)

    @asynccontextmanager
    async def reading_file(self, key: str, size: int) -> AsyncIterator[None]:
        """Wraps the use of the store's own file. Raises Unavailable instead of DataLoss if the
        store is not in place."""
        try:
            yield
        except DataLoss:
            await require_blob(self.driver, key, size)
            raise

    async def copy_from(
        self, source: "BlobStore", source_key: str, key: str, size: int, content_type: str
    ) -> None:
        """Copies a blob of `size` bytes from another store, durably. The bytes pass through this
        process, in parts, only if the backend does not support the copy.

        Idempotent, even after a crash. Raises DataLoss if the source has no such blob.
        """
        found = await self.driver.stat(key)
        if found and found.size == size:
            return
        if await self.driver.copy(source.driver, source_key, key, size, content_type):
            return
        if size <= SMALL:
            data = await source.head(source_key, size, size)
            await self.driver.put(key, data, content_type)
            return
        session = await self.driver.begin(key, content_type)
        try:
            parts = await self._copy_parts(source, source_key, key, session, size)
            await self.driver.complete(key, session, parts)
        except BaseException:
            with suppress(MediaError):
                await self.driver.abort(key, session)
            raise

    async def _copy_parts(
        self, source: "BlobStore", source_key: str, key: str, session: str, size: int
    ) -> list[StoredPart]:
        part_size = self.driver.limits.target_part_size or size
        epoch = randbits(32)  # an attempt that died may have left parts
        parts: list[StoredPart] = []
        for offset in range(0, size, part_size):
            length = min(part_size, size - offset)
            part = StoredPart(PartName(len(parts) + 1, epoch), length, sealed=True)
            writer = await self.driver.open_part(key, session, part.name)
            try:
                async for chunk in source.driver.read(source_key, offset, length, HASH_CHUNK):
                    await writer.write([chunk])
                await writer.seal()
            except BaseException:
                await writer.discard()
                raise
            parts.append(part)
        return parts


def open_store(name: str, url: str) -> BlobStore:
    """Opens the store at `url`, such as `file:///path` or `s3://bucket/prefix?region=...`.

    Raises ValueError; its message completes the sentence "the setting must be ...".
    """
    return BlobStore(name, open_driver(url))
