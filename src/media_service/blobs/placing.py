"""Brings bytes into a store so that nothing ever lies there that no row names.

The row comes first, with nothing that refers to it and a job that removes it again unless it is
taken by then. So whoever dies on the way leaves nothing behind, in the public store least of all.
"""

import asyncio
from collections.abc import Awaitable, Callable
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

# How long bytes are kept that nobody has taken yet.
KEPT = timedelta(hours=1)
# Whoever has just found bytes under an old key may still read them, unless they are to be private.
LINGER = timedelta(minutes=1)
# A write ends well before what it writes is removed.
WRITE_SECONDS = 30 * 60.0

Write = Callable[[str], Awaitable[None]]
Take = Callable[[Transaction, Blob], Awaitable[bool]]


class Placer:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(
        self, store: BlobStore, size: int, checksums: Checksums, write: Write, take: Take
    ) -> bool:
        """Writes a new blob by `write(key)`, then lets `take` refer to it in one transaction.

        False if it did not want to, and then the bytes go again. Raises Unavailable
        (STORAGE_UNAVAILABLE) if writing takes too long.
        """
        blob_id = new_id()
        blob = Blob(blob_id, store.name, store.key(blob_id), size, checksums)
        async with self._database.transaction() as tx:
            await queries.reserve(tx, blob)
            await tx.enqueue(NewJob(JobKind.UNLINK, blob_id, delay=KEPT))
        failpoint("place.reserve.after")
        try:
            # What fails halfway may still arrive there: the delayed job removes it.
            async with asyncio.timeout(WRITE_SECONDS):
                await write(blob.key)
        except TimeoutError:
            raise too_slow() from None
        failpoint("place.write.after")
        async with self._database.transaction() as tx:
            there = await queries.take(tx, blob_id)
            taken = there and await take(tx, blob)
            if there:
                await jobs.withdraw(tx, JobKind.UNLINK, blob_id)
            if there and not taken:
                await release(tx, blob_id)
            failpoint("place.take.inside")
        failpoint("place.take.after")
        if not there:
            await store.driver.delete(blob.key)  # it was written after its removal
            raise too_slow()
        return taken


def too_slow() -> Unavailable:
    return Unavailable(Reason.STORAGE_UNAVAILABLE, "The store took too long to take the bytes.")


async def release(tx: Transaction, blob_id: str, delay: timedelta = timedelta()) -> None:
    """Takes a reference to a blob away, and with the last one its bytes, by a job."""
    if await queries.release(tx, blob_id):
        await tx.enqueue(NewJob(JobKind.UNLINK, blob_id, delay=delay))
