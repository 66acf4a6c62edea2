"""Writes blobs so that a row names each blob before its bytes exist.

The row is added first, without references, together with a delayed job. The job removes the blob if
it still has no reference. A process that dies in between therefore leaves nothing behind, which
matters most in the public store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from media_service.blobs import queries
from media_service.blobs.model import Blob
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.transaction import Transaction
from media_service.errors import Reason, Unavailable
from media_service.failpoints import failpoint
from media_service.ids import new_id
from media_service.jobs.model import JobKind
from media_service.jobs.queries import changing
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums

# How long a blob without references is kept.
KEPT = timedelta(hours=1)
# How long a replaced blob is kept, for readers that have just looked up its key. A blob that became
# private is removed at once.
LINGER = timedelta(minutes=1)
# The time limit of a write. It is well below KEPT, after which the job removes the blob.
WRITE_SECONDS = 30 * 60.0

# Stores bytes under a key.
Write = Callable[[str], Awaitable[None]]
# Refers to a blob, or to several, in the transaction. Returns False to refer to none.
Take = Callable[[Transaction, Blob], Awaitable[bool]]
TakeAll = Callable[[Transaction, Sequence[Blob]], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A blob to write."""

    size_bytes: int
    checksums: Checksums
    write: Write


class Placer:
    """Writes blobs and refers to them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(
        self, store: BlobStore, size: int, checksums: Checksums, write: Write, take: Take
    ) -> bool:
        """Like `place_all`, for one blob."""

        async def take_only(tx: Transaction, blobs: Sequence[Blob]) -> bool:
            return await take(tx, *blobs)

        return await self.place_all(store, [NewBlob(size, checksums, write)], take_only)

    async def place_all(self, store: BlobStore, new: Sequence[NewBlob], take: TakeAll) -> bool:
        """Writes new blobs, then lets `take` refer to all of them in one transaction.

        If `take` returns False, removes the blobs and returns False. Raises Unavailable
        (STORAGE_UNAVAILABLE) if writing takes too long.
        """
        blobs = [blob_of(store, each) for each in new]
        async with self._database.transaction() as tx:
            for blob in blobs:
                await queries.reserve(tx, blob)
                await tx.enqueue(NewJob(JobKind.UNLINK, blob.blob_id, delay=KEPT))
        failpoint("place.reserve.after")
        try:
            # If a write fails, the delayed job removes its bytes.
            async with asyncio.timeout(WRITE_SECONDS):
                for each, blob in zip(new, blobs, strict=True):
                    await each.write(blob.key)
        except TimeoutError:
            raise too_slow() from None
        failpoint("place.write.after")
        async with self._database.transaction() as tx:
            kept = [blob for blob in blobs if await queries.take(tx, blob.blob_id)]
            taken = kept == blobs and await take(tx, blobs)
            for blob in kept:
                await changing.withdraw(tx, JobKind.UNLINK, blob.blob_id)
                if not taken:
                    await release(tx, blob.blob_id)
            failpoint("place.take.inside")
        failpoint("place.take.after")
        if kept != blobs:  # the delayed job ran before the write ended
            for blob in blobs:
                if blob not in kept:
                    await store.driver.delete(blob.key)
            raise too_slow()
        return taken


def blob_of(store: BlobStore, new: NewBlob) -> Blob:
    blob_id = new_id()
    return Blob(blob_id, store.name, store.key(blob_id), new.size_bytes, new.checksums)


def too_slow() -> Unavailable:
    return Unavailable(
        Reason.STORAGE_UNAVAILABLE, "The store did not accept the bytes within 30 minutes."
    )


async def release(tx: Transaction, blob_id: str, delay: timedelta = timedelta()) -> None:
    """Removes a reference to a blob. A job removes a blob without references after `delay`."""
    if await queries.release(tx, blob_id):
        await tx.enqueue(NewJob(JobKind.UNLINK, blob_id, delay=delay))
