"""Compares the rows with the bytes, in both directions. Changes nothing.

Rows come by key, in pages, and each one's object is looked for; objects come in whatever order the
store lists them, and are looked up in the database, many at a time. So it takes the same memory for
a hundred blobs as for a hundred million.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
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
    NamedBlob,
    NotTheSame,
    blob_id_of,
)
from media_service.reconcile.verify_blob import fault_of
from media_service.storage.blob_store import BlobStore
from media_service.storage.driver import ObjectInfo, OpenBlob

# Rows of a page, and objects that are looked up at a time.
BATCH = 1000
# Blobs that are read at a time.
PARALLEL = 8
# So many objects of which the database knows none are another service's.
STRANGERS = 100

# What a store lists.
T = TypeVar("T", ObjectInfo, OpenBlob)
Report = Callable[[Finding], Awaitable[None]]
Progress = Callable[[int, int], None]


class Comparison:
    """One store beside the rows about it.

    `older_than`: what nobody names is told of only when it is so old. Every method calls `report`
    for what it finds, several at a time. All raise Unavailable.
    """

    def __init__(
        self, database: Database, store: BlobStore, report: Report, older_than: timedelta = GRACE
    ) -> None:
        self._database = database
        self._store = store
        self._report = report
        self._older_than = older_than

    async def blobs(self, progress: Progress, *, checksums: bool = True) -> int:
        """Finds MISSING, CORRUPT and RECOVERED blobs; returns how many there are in all.

        `progress` is told bytes done, and in all. Without `checksums`, only those blobs are read
        that a media is in quarantine for.
        """
        async with self._database.connection() as db:
            total = await queries.total_size(db, self._store.name)
        done = count = 0
        slots = asyncio.Semaphore(PARALLEL)

        async def examine(blob: NamedBlob) -> None:
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

    async def _rows(self) -> AsyncGenerator[NamedBlob, None]:
        after = ""
        while True:
            async with self._database.connection() as db:
                page = await queries.page(db, self._store.name, after, BATCH)
            for blob in page:
                yield blob
            if len(page) < BATCH:
                return
            after = page[-1].key

    async def _examine(self, blob: NamedBlob, *, read: bool) -> None:
        fault = await fault_of(self._store, blob, read=read)
        if fault is not None:
            missing = fault.reason == Reason.BLOB_MISSING
            kind, detail = Kind.MISSING if missing else Kind.CORRUPT, fault.message
        elif blob.quarantined:
            kind, detail = Kind.RECOVERED, "The stored bytes are all right again."
        else:
            return
        # Bytes come before their row, and go after nothing refers to it. So if something still
        # does, it was no purge that took them away before they were looked at.
        async with self._database.connection() as db:
            if await queries.get(db, blob.blob_id) is None:
                return
            media_ids = await blobs.media_of(db, blob_references(), blob.blob_id)
        await self._report(
            Finding(kind, self._store.name, blob.key, detail, media_ids, blob.blob_id)
        )

    async def objects(self) -> int:
        """Finds ORPHANED objects; returns how many objects there are in all.

        Raises NotTheSame if the database knows none of many.
        """
        count = strangers = 0
        async for batch in batches(self._store.driver.list("blobs/")):
            nobodys = await self._nobodys(batch, queries.named)
            count += len(batch)
            strangers += len(nobodys)
            if strangers == count >= STRANGERS:
                raise NotTheSame(
                    f"The store {self._store.name} and the database do not belong together: of the"
                    f" first {count} objects there, it knows none."
                )
            for info in self._old(nobodys):
                stored = f"{info.size} bytes, stored {info.modified:%Y-%m-%d %H:%M} UTC"
                await self._report(self._unnamed(Kind.ORPHANED, info.key, stored))
        return count

    async def open_blobs(self) -> None:
        """Finds ABANDONED open blobs."""
        async for batch in batches(self._store.driver.list_open()):
            for opened in await self._nobodys(self._old(batch), queries.fed):
                since = f"untouched since {opened.modified:%Y-%m-%d %H:%M} UTC"
                await self._report(self._unnamed(Kind.ABANDONED, opened.key, since, opened.session))

    def _old(self, listed: Sequence[T]) -> list[T]:
        before = now() - self._older_than
        return [one for one in listed if one.modified < before]

    async def _nobodys(self, listed: Sequence[T], somebodys: queries.Somebodys) -> list[T]:
        if not listed:
            return []
        async with self._database.connection() as db:
            theirs = await somebodys(db, [(one.key, blob_id_of(one.key)) for one in listed])
        return [one for one in listed if one.key not in theirs]

    def _unnamed(self, kind: Kind, key: str, detail: str, session: str = "") -> Finding:
        return Finding(kind, self._store.name, key, detail, (), blob_id_of(key), session)


async def batches(listed: AsyncIterator[T]) -> AsyncGenerator[list[T], None]:
    """What is listed, many at a time."""
    batch: list[T] = []
    async for one in listed:
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
