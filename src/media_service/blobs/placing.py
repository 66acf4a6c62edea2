"""Writes blobs so that each is named by a row before its bytes exist.

The row comes first: without references, and with a delayed job that removes the blob unless it gets
one. A process that dies in between therefore leaves nothing behind, least of all in the public
store.
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
from media_service.jobs import queries as jobs
from media_service.jobs.model import JobKind
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums

# How long a blob without references is kept.
KEPT = timedelta(hours=1)
# Readers that have just looked up the key of a replaced blob may still read it, unless it became
# private.
LINGER = timedelta(minutes=1)
# A write ends well before the job that would remove what it wrote.
WRITE_SECONDS = 30 * 60.0

# Stores bytes under a key.
Write = Callable[[str], Awaitable[None]]
# Refers to a blob, or to several, in the transaction. Returns False to refer to none.
Take = Callable[[Transaction, Blob], Awaitable[bool]]
TakeAll = Callable[[Transaction, Sequence[Blob]], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A blob to be written."""

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
        """As `place_all`, for one blob."""

        async def take_only(tx: Transaction, blobs: Sequence[Blob]) -> bool:
            return await take(tx, *blobs)

        return await self.place_all(store, [NewBlob(size, checksums, write)], take_only)

    async def place_all(self, store: BlobStore, new: Sequence[NewBlob], take: TakeAll) -> bool:
        """Writes new blobs, then lets `take` refer to all of them in one transaction.

        Returns False if `take` did, and then removes the blobs. Raises Unavailable
        (STORAGE_UNAVAILABLE) if writing takes too long.
        """
        blobs = [blob_of(store, each) for each in new]
        async with self._database.transaction() as tx:
            for blob in blobs:
                await queries.reserve(tx, blob)
                await tx.enqueue(NewJob(JobKind.UNLINK, blob.blob_id, delay=KEPT))
        failpoint("place.reserve.after")
        try:
            # What a failed write stored is removed by the delayed job.
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
                await jobs.withdraw(tx, JobKind.UNLINK, blob.blob_id)
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
