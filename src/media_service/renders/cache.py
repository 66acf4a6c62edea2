"""Keeps pictures that were made for a request, for the next one like it."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from media_service.blobs.model import Blob
from media_service.blobs.placing import LINGER, Placer, release
from media_service.blobs.writing import measure, write_to
from media_service.clock import now
from media_service.db.database import Database
from media_service.db.transaction import Transaction
from media_service.errors import MediaError
from media_service.failpoints import failpoint
from media_service.media.reader import not_found
from media_service.renders import queries
from media_service.renders.memory import Memory
from media_service.renders.model import Identity, Picture, Render
from media_service.storage.blob_store import BlobStore

log = logging.getLogger(__name__)

# Of one media. Whoever asks for more of them is trying out numbers.
MOST = 500
MOST_BYTES = 512 << 20
# One in so many looks whether there are more; keys are as good as random. A large one always does.
LOOK = 8
LARGE = 1 << 20
# What this process knows of without asking.
KNOWN = 10_000
# Bytes of pictures that are given out from memory, or wait to be stored. Others are stored first.
IN_MEMORY = 64 << 20
# Pictures that are stored at a time.
STORING = 2
DAY = timedelta(days=1)
# What was not used for so long goes.
UNUSED = timedelta(days=30)
BATCH = 100
CLOSE_SECONDS = 10.0


@dataclass(slots=True)
class Known:
    """`used`: when the database was last told that somebody asked for it."""

    render: Render
    used: datetime


class RenderCache:
    """Pictures lie beside the originals, in the `raw` store. What a process knows of them may be
    gone, removed by another: who reads it finds out, and says so (`forget`)."""

    def __init__(self, database: Database, raw: BlobStore) -> None:
        self._database = database
        self._raw = raw
        self._placer = Placer(database)
        self._known: OrderedDict[Identity, Known] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(STORING)
        self._memory = Memory(IN_MEMORY)

    async def close(self) -> None:
        """Stores what was made, as far as that does not take long."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def known(self, picture: Picture) -> Render | None:
        """A picture that this process has made or found before."""
        identity = picture.identity
        known = self._known.get(identity)
        if known is None:
            return None
        self._known.move_to_end(identity)
        if now() - known.used > DAY:
            known.used = now()
            self._later(self._use(identity))
        return known.render

    async def find(self, picture: Picture) -> Render | None:
        """A picture that any process has kept."""
        identity = picture.identity
        async with self._database.connection() as db:
            found = await queries.find(db, *identity)
        if found is None:
            return None
        self._remember(identity, *found)
        return self.known(picture)

    def forget(self, picture: Picture) -> None:
        self._known.pop(picture.identity, None)

    def has_room(self, size: int) -> bool:
        """Whether a picture may be given out from memory, and stored later."""
        return self._memory.has_room(size)

    def hold(self, render: Render) -> AbstractContextManager[None]:
        """For as long as somebody reads it."""
        source = render.source
        return self._memory.hold(source) if isinstance(source, bytes) else nullcontext()

    def keep_later(self, picture: Picture, made: Render, data: bytes) -> None:
        """Stores a picture, in a while; until then it is given out from here."""
        identity = picture.identity
        self._remember(identity, made, now())
        self._later(self._keep_waiting(identity, made, data))

    async def keep(self, picture: Picture, content_type: str, source: Path) -> Render:
        """Stores a picture now. Raises NotFound (MEDIA_NOT_FOUND) if its media is gone."""
        size, checksums = await asyncio.to_thread(measure, source)
        made = Render(b"", content_type, size, checksums)
        kept = await self._keep(picture.identity, made, source) or await self.find(picture)
        if kept is None:
            raise not_found(picture.media.media_id)
        return kept

    async def _keep_waiting(self, identity: Identity, made: Render, data: bytes) -> None:
        kept = None
        try:
            with self._memory.hold(data):
                async with self._turns:
                    kept = await self._keep(identity, made, data)
        finally:
            if kept is None:
                self._known.pop(identity, None)

    async def _keep(self, identity: Identity, made: Render, source: Path | bytes) -> Render | None:
        size, kind = made.size_bytes, made.content_type
        kept: list[Blob] = []

        async def write(key: str) -> None:
            failpoint("render.write.before")
            await write_to(self._raw, source, size, kind, key)
            failpoint("render.write.after")

        take = partial(self._take, identity, kind, kept)
        if not await self._placer.place(self._raw, size, made.checksums, write, take):
            return None
        failpoint("render.keep.after")
        render = Render(kept[0], kind, size, made.checksums)
        self._remember(identity, render, now())
        return render

    async def _take(
        self, identity: Identity, content_type: str, kept: list[Blob], tx: Transaction, blob: Blob
    ) -> bool:
        media_id, key = identity
        if not await queries.hold_media(tx, media_id):
            return False
        useless = await queries.put(tx, media_id, key, content_type, blob.blob_id)
        if useless == blob.blob_id:
            return False
        go = [useless] if useless else []
        if key[0] % LOOK == 0 or blob.size_bytes > LARGE:
            go += await queries.remove_surplus(tx, media_id, MOST, MOST_BYTES)
        for blob_id in go:
            await release(tx, blob_id, LINGER)
        kept.append(blob)
        failpoint("render.keep.before")
        return True

    async def _use(self, identity: Identity) -> None:
        async with self._database.connection() as db:
            await queries.used(db, *identity)

    def _remember(self, identity: Identity, render: Render, used: datetime) -> None:
        self._known[identity] = Known(render, used)
        self._known.move_to_end(identity)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Nobody waits for it, and nobody misses it: what fails is told to the operator alone."""
        task = asyncio.create_task(logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except MediaError as error:
        log.warning("a picture was made, and not kept: %s", error.message)
    except Exception:
        log.exception("a picture was made, and not kept")


async def forget_unused(database: Database) -> int:
    """Removes pictures that nobody has asked for in a long time; returns how many."""
    count = 0
    while True:
        async with database.transaction() as tx:
            unused = await queries.remove_unused(tx, UNUSED, BATCH)
            for blob_id in unused:
                await release(tx, blob_id)
        if unused:
            failpoint("render.forget.after")
        count += len(unused)
        if len(unused) < BATCH:
            return count
