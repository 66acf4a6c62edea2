"""Caches renders in the store `raw` for all processes, and in memory until they are stored."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cachetools import LRUCache

from media_service.blobs.model import Blob
from media_service.blobs.placing import LINGER, Placer, release
from media_service.blobs.writing import measure, write_to
from media_service.clock import now
from media_service.db.database import Database
from media_service.db.transaction import Transaction
from media_service.errors import MediaError
from media_service.failpoints import failpoint
from media_service.jobs.periodic import Batches
from media_service.media.reader import not_found
from media_service.renders import queries
from media_service.renders.buffered_renders import BufferedRenders
from media_service.renders.model import Render, RenderId, RenderSpec
from media_service.storage.blob_store import BlobStore

log = logging.getLogger(__name__)

# The limits per media. Only clients that enumerate parameters exceed them.
MAX_RENDERS = 500
MAX_BYTES = 512 << 20
# These limits are checked when a large render is stored, and for one in CHECK_INTERVAL others.
CHECK_INTERVAL = 8
LARGE_BYTES = 1 << 20
# The maximum number of renders that this process finds without a query.
MAX_KNOWN = 10_000
# A render that does not fit into this buffer is stored before it is sent.
MAX_BUFFERED_BYTES = 64 << 20
CONCURRENT_WRITES = 2
# The precision of the recorded time of last use.
USE_INTERVAL = timedelta(days=1)
UNUSED_TTL = timedelta(days=30)
BATCH = 100
CLOSE_SECONDS = 10.0


@dataclass(slots=True)
class Known:
    """A render that this process knows. `use_time` is the last use recorded in the database."""

    render: Render
    use_time: datetime


class RenderCache:
    """Caches renders. The entries in memory may be outdated, because another process may have
    removed a render. If its bytes are missing, call `forget`."""

    def __init__(self, database: Database, raw: BlobStore) -> None:
        self._database = database
        self._raw = raw
        self._placer = Placer(database)
        self._known: LRUCache[RenderId, Known] = LRUCache(MAX_KNOWN)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Semaphore(CONCURRENT_WRITES)
        self._buffered = BufferedRenders(MAX_BUFFERED_BYTES)

    async def close(self) -> None:
        """Stores the buffered renders, unless that takes too long."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def known(self, spec: RenderSpec) -> Render | None:
        """Returns a render that this process has rendered or found before."""
        render_id = spec.render_id
        known = self._known.get(render_id)
        if known is None:
            return None
        if now() - known.use_time > USE_INTERVAL:
            known.use_time = now()
            self._in_background(self._record_use(render_id))
        return known.render

    async def find(self, spec: RenderSpec) -> Render | None:
        """Returns a render that any process has stored."""
        render_id = spec.render_id
        async with self._database.connection() as db:
            found = await queries.find(db, *render_id)
        if found is None:
            return None
        self._remember(render_id, *found)
        return self.known(spec)

    def forget(self, spec: RenderSpec) -> None:
        self._known.pop(spec.render_id, None)

    def has_room(self, size: int) -> bool:
        """Whether a render of this size may be sent from memory and stored later."""
        return self._buffered.has_room(size)

    def hold(self, render: Render) -> AbstractContextManager[None]:
        """Counts the render's bytes as buffered while the context lasts."""
        body = render.body
        return self._buffered.hold(body) if isinstance(body, bytes) else nullcontext()

    def store_later(self, spec: RenderSpec, render: Render, data: bytes) -> None:
        """Stores a render in the background. Until then, it is served from memory."""
        render_id = spec.render_id
        self._remember(render_id, render, now())
        self._in_background(self._store_buffered(render_id, render, data))

    async def store(self, spec: RenderSpec, content_type: str, file: Path) -> Render:
        """Stores a render now. Raises NotFound (MEDIA_NOT_FOUND) if its media was purged."""
        size, checksums = await asyncio.to_thread(measure, file)
        render = Render(b"", content_type, size, checksums)
        stored = await self._store(spec.render_id, render, file) or await self.find(spec)
        if stored is None:
            raise not_found(spec.media.media_id)
        return stored

    async def _store_buffered(self, render_id: RenderId, render: Render, data: bytes) -> None:
        stored = None
        try:
            with self._buffered.hold(data):
                async with self._writing:
                    stored = await self._store(render_id, render, data)
        finally:
            if stored is None:
                self._known.pop(render_id, None)

    async def _store(
        self, render_id: RenderId, render: Render, data: Path | bytes
    ) -> Render | None:
        size, content_type = render.size_bytes, render.content_type
        added: list[Blob] = []

        async def write(key: str) -> None:
            failpoint("render.write.before")
            await write_to(self._raw, data, size, content_type, key)
            failpoint("render.write.after")

        add = partial(self._add, render_id, content_type, added)
        if not await self._placer.place(self._raw, size, render.checksums, write, add):
            return None
        failpoint("render.keep.after")
        stored = Render(added[0], content_type, size, render.checksums)
        self._remember(render_id, stored, now())
        return stored

    async def _add(
        self, render_id: RenderId, content_type: str, added: list[Blob], tx: Transaction, blob: Blob
    ) -> bool:
        """Adds the row that refers to the blob. Returns False if the blob is not needed."""
        media_id, key = render_id
        limited = await queries.lock_media(tx, media_id)
        if limited is None:
            return False
        unused = await queries.put(tx, media_id, key, content_type, blob.blob_id)
        if unused == blob.blob_id:
            return False
        released = [unused] if unused else []
        if key[0] % CHECK_INTERVAL == 0 or blob.size_bytes > LARGE_BYTES:
            released += await queries.remove_surplus(tx, media_id, MAX_RENDERS, MAX_BYTES)
        if limited:
            released += await queries.remove_over_quotas(tx, media_id, key)
        for blob_id in released:
            await release(tx, blob_id, LINGER)
        added.append(blob)
        failpoint("render.keep.before")
        return True

    async def _record_use(self, render_id: RenderId) -> None:
        async with self._database.connection() as db:
            await queries.record_use(db, *render_id)

    def _remember(self, render_id: RenderId, render: Render, use_time: datetime) -> None:
        self._known[render_id] = Known(render, use_time)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(log_failure(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def log_failure(work: Coroutine[Any, Any, None]) -> None:
    """Runs work and only logs its errors, because no request waits for it."""
    try:
        await work
    except MediaError as error:
        log.warning("a render was not cached: %s", error.message)
    except Exception:
        log.exception("a render was not cached")


async def remove_unused(database: Database) -> Batches:
    """Removes renders that were not requested for a month."""
    while True:
        async with database.transaction() as tx:
            blob_ids = await queries.remove_unused(tx, UNUSED_TTL, BATCH)
            for blob_id in blob_ids:
                await release(tx, blob_id)
        if blob_ids:
            failpoint("render.forget.after")
        yield len(blob_ids)
        if len(blob_ids) < BATCH:
            return
