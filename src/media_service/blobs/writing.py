"""Stores files, or bytes in memory, as blobs."""

import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from crc32c import crc32c as crc32c_of

from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.drivers.local.driver import LocalDriver

CHUNK = 4 << 20


async def write_to(
    store: BlobStore, source: Path | bytes, size: int, content_type: str, key: str
) -> None:
    """Stores a file, or bytes, as a blob."""
    if isinstance(source, bytes):
        await store.driver.put(key, source, content_type)
    else:
        async with folder_of(source) as folder:
            await store.copy_from(folder, source.name, key, size, content_type)


@asynccontextmanager
async def folder_of(file: Path) -> AsyncIterator[BlobStore]:
    """Opens the folder of a file as a store to copy from."""
    driver = LocalDriver(file.parent)
    try:
        yield BlobStore("files", driver)
    finally:
        await driver.close()


def opened(source: Path | bytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def measure(source: Path | bytes) -> tuple[int, Checksums]:
    """Returns the size and the checksums of a file, or of bytes."""
    size, crc32c, sha256 = 0, 0, hashlib.sha256()
    with opened(source) as file:
        while piece := file.read(CHUNK):
            size += len(piece)
            crc32c = crc32c_of(piece, crc32c)
            sha256.update(piece)
    return size, Checksums(crc32c, sha256.digest())
