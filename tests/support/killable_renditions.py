"""Fixtures of rendition tests: media in real stores, and a worker that can be killed."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from crc32c import crc32c

from media_service.access.page_tokens import PageTokens
from media_service.access.principal import Principal
from media_service.blobs.handlers.unlink import UnlinkHandler
from media_service.blobs.model import Blob
from media_service.db.database import Database
from media_service.db.transaction import Transaction
from media_service.ids import new_id
from media_service.jobs.model import JobKind
from media_service.jobs.progress import Progress
from media_service.media import queries
from media_service.media.model import Kind, Media, NewMedia, NewRendition, Visibility
from media_service.media.reader import MediaReader
from media_service.media.service import MediaService
from media_service.renditions.delete import DeletionService
from media_service.renditions.handlers.publish import PublishHandler
from media_service.renditions.rendition_store import RenditionStore
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.drivers.memory import MemoryDriver
from tests.support.job_claims import claim as claim_next

ANN = Principal("ann")
LEASE = timedelta(seconds=30)


class Killed(BaseException):
    """Simulates the death of the process."""


@dataclass
class Steps:
    """Counts durable steps, and dies at one of them."""

    left: int | None = None

    def step(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


class KillableDatabase(Database):
    """Dies before or after a transaction."""

    def __init__(self, url: str, steps: Steps) -> None:
        super().__init__(url, 4)
        self._steps = steps

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        self._steps.step()
        async with super().transaction() as tx:
            yield tx
        self._steps.step()


class KillableDriver(MemoryDriver):
    """Dies before or after a change of the store."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    async def put(self, key: str, *data: Any) -> None:
        self._steps.step()
        await super().put(key, *data)
        self._steps.step()

    async def delete(self, key: str) -> None:
        self._steps.step()
        await super().delete(key)
        self._steps.step()


class WaitingDriver(KillableDriver):
    """Stores a blob, then waits until the test lets it continue."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(steps)
        self.key = ""
        self.stored = asyncio.Event()
        self.go_on = asyncio.Event()

    async def put(self, key: str, *data: Any) -> None:
        await super().put(key, *data)
        self.key = key
        self.stored.set()
        await self.go_on.wait()


async def content(store: BlobStore, blob: Blob) -> bytes:
    return await store.head(blob.key, blob.size_bytes, blob.size_bytes)


async def objects(store: BlobStore) -> dict[str, bytes]:
    """The blobs in a store, by key."""
    found = [info async for info in store.driver.list("")]
    return {info.key: await store.head(info.key, info.size, info.size) for info in found}


@dataclass
class RenditionHarness:
    """The components of renditions, over two stores in memory."""

    database: Database
    steps: Steps = field(default_factory=Steps)

    def __post_init__(self) -> None:
        self.raw = BlobStore("raw", KillableDriver(self.steps))
        self.public = BlobStore("public", KillableDriver(self.steps))
        self.stores: Mapping[str, BlobStore] = {"raw": self.raw, "public": self.public}
        self.renditions = RenditionStore(self.database, self.stores)
        reader = MediaReader(self.database)
        self.deletions = DeletionService(self.database)
        self.media = MediaService(self.database, reader, PageTokens(["secret"]), timedelta(days=30))
        self.handlers = {
            JobKind.PUBLISH: PublishHandler(self.database, self.stores),
            JobKind.UNLINK: UnlinkHandler(self.database, self.stores),
        }

    async def new(self, data: bytes = b"the original") -> str:
        """Creates a media owned by ann, and returns its id."""
        media_id, blob_id = new_id(), new_id()
        key = self.raw.key(blob_id)
        await self.raw.driver.put(key, data)
        blob = Blob(blob_id, "raw", key, len(data), Checksums(crc32c(data)))
        new = NewMedia(media_id, ANN.owner, Kind.IMAGE, "image/jpeg", "a.jpg", blob)
        async with self.database.transaction() as db:
            await queries.insert(db, [new])
            # Inspected, so that no job inspects it after it is undeleted.
            await db.execute("update media set state = 'READY' where media_id = %s", (media_id,))
        return media_id

    async def read(self, media_id: str) -> Media | None:
        async with self.database.connection() as db:
            return await queries.get(db, media_id)

    async def there(self, media_id: str) -> Media:
        media = await self.read(media_id)
        assert media is not None
        return media

    async def show(self, media_id: str, visibility: str) -> None:
        await self.media.update(ANN, media_id, {"visibility": Visibility(visibility)}, "")

    async def add(self, media_id: str, name: str, data: bytes) -> None:
        await self.renditions.add(media_id, NewRendition(name, "image/webp"), data)

    async def work(self) -> None:
        """Executes due jobs until there are none."""
        async with self.database.connection() as db:
            while claim := await claim_next(db):
                await self.handlers[claim.kind].run(claim, Progress())

    async def execute(self, query: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        async with self.database.connection() as db:
            rows = await db.execute(query.encode(), params)
            return await rows.fetchall() if rows.description else []

    async def settle(self) -> None:
        """Executes all jobs, including delayed ones, until there are none."""
        while await self.execute("select 1 from jobs where state in ('QUEUED', 'RUNNING')"):
            await self.let_time_pass()
            await self.work()

    async def let_time_pass(self) -> None:
        """Makes delayed jobs due, and releases the jobs of dead workers."""
        await self.execute("update jobs set run_time = now() where state = 'QUEUED'")
        await self.execute(
            "update jobs set lease_until = now() - interval '1 s' where state = 'RUNNING'"
        )
