"""The blob store the service uses: one concrete class over any driver."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from secrets import randbits
from urllib.parse import urlsplit
from urllib.request import url2pathname

from media_service.errors import MediaError
from media_service.storage.bucket_url import bucket_url
from media_service.storage.driver import Driver, PartName, StoredPart
from media_service.storage.local import LocalDriver
from media_service.storage.memory import MemoryDriver
from media_service.storage.s3_location import s3_location
from media_service.storage.scratch import scratch_file

# Down, messages of 256 KiB to 1 MiB are fastest over gRPC; measured again by `make bench`.
READ_CHUNK = 512 << 10
HASH_CHUNK = 4 << 20
# Up to here a copy needs no parts.
SMALL = 4 << 20


class BlobStore:
    """Reads whole blobs and ranges; hands out the driver for writing."""

    def __init__(self, name: str, driver: Driver) -> None:
        self.name = name
        self.driver = driver

    @staticmethod
    def key(blob_id: str) -> str:
        """Where a blob lies. The last hex digits are random in a UUIDv7, so folders fill evenly."""
        return f"blobs/{blob_id[-2:]}/{blob_id}"

    def read(self, key: str, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        return self.driver.read(key, offset, length, READ_CHUNK)

    async def head(self, key: str, size: int, limit: int) -> bytes:
        """The first `limit` bytes of a blob of `size` bytes."""
        length = min(size, limit)
        return b"".join([piece async for piece in self.driver.read(key, 0, length, HASH_CHUNK)])

    async def sha256(self, key: str, size: int) -> bytes:
        """Reads all of a blob; 32 bytes."""
        digest = hashlib.sha256()
        async for piece in self.driver.read(key, 0, size, HASH_CHUNK):
            await asyncio.to_thread(digest.update, piece)
        return digest.digest()

    @asynccontextmanager
    async def as_file(self, key: str, size: int) -> AsyncIterator[Path]:
        """The blob as a local file to read: the store's own if it has one, else a copy."""
        if path := self.driver.local_path(key):
            yield path
            return
        with scratch_file("media-blob-") as copy:
            async for piece in self.driver.read(key, 0, size, HASH_CHUNK):
                await asyncio.to_thread(copy.write, piece)
            copy.flush()
            yield Path(copy.name)

    async def copy_from(
        self, source: "BlobStore", source_key: str, key: str, size: int, content_type: str
    ) -> None:
        """Copies a blob of `size` bytes from another store, durably; the bytes come here only if
        the stores cannot do it without, and then in pieces.

        Idempotent, also after a crash halfway. Raises DataLoss if the source has no such blob.
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
        part_size = self.driver.limits.stream_part_size or size
        epoch = randbits(32)  # an attempt that died may have left parts
        parts: list[StoredPart] = []
        for offset in range(0, size, part_size):
            length = min(part_size, size - offset)
            part = StoredPart(PartName(len(parts) + 1, epoch), length, sealed=True)
            writer = await self.driver.open_part(key, session, part.name)
            try:
                async for piece in source.driver.read(source_key, offset, length, HASH_CHUNK):
                    await writer.write([piece])
                await writer.seal()
            except BaseException:
                await writer.discard()
                raise
            parts.append(part)
        return parts


def open_store(name: str, url: str) -> BlobStore:
    """The store at `url`: `file:///path`, `s3://bucket/prefix?…`, `gs://bucket/prefix` or
    `memory://`.

    Raises ValueError, which says what is allowed.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "file":
            return BlobStore(name, LocalDriver(Path(url2pathname(parts.path))))
        case "s3":
            from media_service.storage.s3 import S3Driver  # noqa: PLC0415 - half of a start's time

            return BlobStore(name, S3Driver(s3_location(url)))
        case "gs":
            from media_service.storage.gcs import GcsDriver  # noqa: PLC0415 - as above

            bucket, prefix, options = bucket_url(url, ["endpoint"])
            return BlobStore(name, GcsDriver(bucket, prefix, options.get("endpoint")))
        case "memory":
            return BlobStore(name, MemoryDriver())
    raise ValueError(f"no storage driver for {parts.scheme}://")
