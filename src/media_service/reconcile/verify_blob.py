"""Checks whether the bytes of a blob match its row."""

import asyncio
import hashlib

from crc32c import crc32c as crc32c_of

from media_service.errors import DataLoss, Fault, Reason
from media_service.reconcile.model import ReferencedBlob
from media_service.storage.blob_store import HASH_CHUNK, BlobStore
from media_service.storage.checksums import Checksums


async def fault_of(store: BlobStore, blob: ReferencedBlob, *, read: bool) -> Fault | None:
    """The fault of a blob: BLOB_MISSING or CHECKSUM_MISMATCH. None if the blob is intact, as far as
    its size tells without `read`."""
    found = await store.driver.stat(blob.key)
    if found is None:
        return missing("the object does not exist")
    if found.size != blob.size_bytes:
        return missing(f"it has {found.size} bytes instead of {blob.size_bytes}")
    if not read:
        return None
    try:
        actual = await checksums(store, blob)
    except DataLoss:
        return missing("the object could not be read to its end")
    for name in ("crc32c", "sha256"):
        wanted, is_now = getattr(blob.checksums, name), getattr(actual, name)
        if wanted is not None and wanted != is_now:
            return Fault(
                Reason.CHECKSUM_MISMATCH,
                f"The stored bytes were damaged: their {name} is {shown(is_now)} instead of"
                f" {shown(wanted)}.",
            )
    return None


def missing(why: str) -> Fault:
    return Fault(Reason.BLOB_MISSING, f"The stored bytes are missing: {why}.")


def shown(checksum: int | bytes) -> str:
    return checksum.hex() if isinstance(checksum, bytes) else f"{checksum:08x}"


async def checksums(store: BlobStore, blob: ReferencedBlob) -> Checksums:
    """The checksums of the current bytes. SHA-256 only if the row has one."""
    crc, digest = 0, hashlib.sha256()
    wanted = blob.checksums.sha256 is not None

    def add(piece: bytes) -> int:
        if wanted:
            digest.update(piece)
        return crc32c_of(piece, crc)

    async for piece in store.driver.read(blob.key, 0, blob.size_bytes, HASH_CHUNK):
        crc = await asyncio.to_thread(add, piece)
    return Checksums(crc, digest.digest() if wanted else None)
