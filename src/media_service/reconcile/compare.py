"""Compares rows with bytes in both directions. Changes nothing.

Rows are read in pages, and the object of each is looked up in the store. Objects are listed by the
store, and looked up in the database in batches. So the memory does not depend on the number of
blobs.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar

from media_service.blobs import queries as blobs
from media_service.blobs.references import blob_references
from media_service.clock import now
from media_service.db.database import Database
from media_service.errors import Reason
from media_service.reconcile import queries
from media_service.reconcile.model import (
    GRACE,
    Finding,
    Kind,
    ReferencedBlob,
    StoreMismatch,
    blob_id_of,
)
from media_service.reconcile.verify_blob import fault_of
from media_service.storage.blob_store import BlobStore
from media_service.storage.concurrency import for_each
from media_service.storage.driver import ObjectInfo, OpenBlob

# Rows per page, and objects per query.
BATCH = 1000
# Blobs that are read, and findings that are reported, concurrently.
PARALLEL = 8
# If the database knows none of so many objects, the store belongs to another service.
MISMATCH_THRESHOLD = 100

T = TypeVar("T", ObjectInfo, OpenBlob)
Report = Callable[[Finding], Awaitable[None]]
Progress = Callable[[int, int], None]


class Comparison:
    """Compares one store with its rows.

    `older_than`: objects without a row are reported only at this age. Methods call `report` for
    each finding, several at a time, and raise Unavailable.
    """

    def __init__(
        self, database: Database, store: BlobStore, report: Report, older_than: timedelta = GRACE
    ) -> None:
        self._database = database
        self._store = store
        self._report = report
        self._older_than = older_than

    async def blobs(self, progress: Progress, *, checksums: bool = True) -> int:
        """Finds MISSING, CORRUPT and RECOVERED blobs, and returns the number of all blobs.

        `progress` receives the bytes done and the bytes in total. Without `checksums`, only blobs
        of quarantined media are read.
        """
        async with self._database.long_connection() as db:
            total = await queries.total_size(db, self._store.name)
        done = count = 0
        slots = asyncio.Semaphore(PARALLEL)

        async def examine(blob: ReferencedBlob) -> None:
            nonlocal done
            try:
                await self._examine(blob, read=checksums or blob.quarantined)
                done += blob.size_bytes
                progress(done, max(done, total))
            finally:
                slots.release()

        try:
            async with aclosing(self._rows()) as rows, asyncio.TaskGroup() as tasks:
                async for blob in rows:
                    await slots.acquire()
                    tasks.create_task(examine(blob))
                    count += 1
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return count

    async def _rows(self) -> AsyncGenerator[ReferencedBlob, None]:
        after = ""
        while True:
            async with self._database.long_connection() as db:
                page = await queries.page(db, self._store.name, after, BATCH)
            for blob in page:
                yield blob
            if len(page) < BATCH:
                return
            after = page[-1].key

    async def _examine(self, blob: ReferencedBlob, *, read: bool) -> None:
        fault = await fault_of(self._store, blob, read=read)
        if fault is not None:
            missing = fault.reason == Reason.BLOB_MISSING
            kind, detail = Kind.MISSING if missing else Kind.CORRUPT, fault.message
        elif blob.quarantined:
            kind, detail = Kind.RECOVERED, "The stored bytes are intact again."
        else:
            return
        # Bytes are stored before their row and deleted after the last reference. So if a reference
        # still exists now, no purge has deleted the bytes.
        async with self._database.connection() as db:
            if await queries.get(db, blob.blob_id) is None:
                return
            media_ids = await blobs.media_of(db, blob_references(), blob.blob_id)
        await self._report(
            Finding(kind, self._store.name, blob.key, detail, media_ids, blob.blob_id)
        )

    async def objects(self) -> int:
        """Finds ORPHANED objects, and returns the number of all objects.

        Raises StoreMismatch if the database knows none of many objects.
        """
        count = unknown = 0
        async for batch in batches(self._store.driver.list("blobs/")):
            unreferenced = await self._unreferenced(batch, queries.referenced)
            count += len(batch)
            unknown += len(unreferenced)
            if unknown == count >= MISMATCH_THRESHOLD:
                raise StoreMismatch(
                    f"The store {self._store.name} does not belong to this database, which knows"
                    f" none of its first {count} objects. Check the URLs of both."
                )
            await self._report_all(
                self._finding(
                    Kind.ORPHANED,
                    info.key,
                    f"{info.size} bytes, stored {info.modified:%Y-%m-%d %H:%M} UTC",
                )
                for info in self._old(unreferenced)
            )
        return count

    async def open_blobs(self) -> None:
        """Finds ABANDONED open blobs."""
        async for batch in batches(self._store.driver.list_open()):
            abandoned = await self._unreferenced(self._old(batch), queries.in_use)
            await self._report_all(
                self._finding(
                    Kind.ABANDONED,
                    opened.key,
                    f"untouched since {opened.modified:%Y-%m-%d %H:%M} UTC",
                    opened.session,
                )
                for opened in abandoned
            )

    async def _report_all(self, findings: Iterable[Finding]) -> None:
        await for_each(self._report, list(findings), PARALLEL)

    def _old(self, listed: Sequence[T]) -> list[T]:
        before = now() - self._older_than
        return [one for one in listed if one.modified < before]

    async def _unreferenced(
        self, listed: Sequence[T], find_referenced: queries.FindReferenced
    ) -> list[T]:
        if not listed:
            return []
        async with self._database.long_connection() as db:
            referenced = await find_referenced(
                db, [(one.key, blob_id_of(one.key)) for one in listed]
            )
        return [one for one in listed if one.key not in referenced]

    def _finding(self, kind: Kind, key: str, detail: str, session: str = "") -> Finding:
        return Finding(kind, self._store.name, key, detail, (), blob_id_of(key), session)


async def batches(listed: AsyncIterator[T]) -> AsyncGenerator[list[T], None]:
    """Groups the listed items into batches."""
    batch: list[T] = []
    async for one in listed:
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
