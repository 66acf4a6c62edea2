"""Stored bytes become READY or FAILED, and are kept either way."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import pyvips

from media_service.access.owner import Owner
from media_service.blobs.model import Blob
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspector import Inspector
from media_service.codecs.sandbox.forks import ForkServer
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.notifications import MediaChanged
from media_service.errors import Fault, Reason, ResourceExhausted
from media_service.ids import new_id
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.worker import Worker
from media_service.media import queries
from media_service.media.allowed_types import AllowedTypes
from media_service.media.model import Kind, Media, MediaState, NewMedia
from media_service.renditions.delete import remove_media
from media_service.renditions.handlers.ingest import IngestHandler
from media_service.renditions.presets import Presets
from media_service.renditions.rendition_store import RenditionStore
from media_service.renditions.texts import read_existing_texts
from media_service.renditions.thumbnails import ThumbnailRenderer
from media_service.storage.blob_store import BlobStore
from media_service.storage.buffer import Buffer
from media_service.storage.checksums import Checksums
from media_service.storage.driver import PartName, StoredPart
from media_service.storage.drivers.memory import MemoryDriver
from tests.support import job_claims as claims

ALICE = Owner("user", "alice")
ALLOWED = AllowedTypes(("image/*", "video/*"))
MONTH = timedelta(days=30)
DUE_TEXTS = "select media_id::text as id from texts_due"
TEXTS = "select media_id::text as id, content from media_search"
SIZES = {"small": 16, "medium": 32, "large": 1600}


@pytest.fixture
async def inspector(fork_server: ForkServer) -> AsyncIterator[Inspector]:
    async with Inspector(fork_server, max_pixels=1_000_000, children=1) as inspector:
        yield inspector


@pytest.fixture(scope="module")
async def renderer(fork_server: ForkServer) -> AsyncIterator[ImageRenderer]:
    async with ImageRenderer(fork_server, 1, 1_000_000, 1 << 26) as renderer:
        yield renderer


@pytest.fixture
def handler(
    database: Database,
    store: BlobStore,
    inspector: Inspector,
    renderer: ImageRenderer,
) -> IngestHandler:
    return handler_for(database, store, inspector, renderer)


def handler_for(
    database: Database, store: BlobStore, inspector: Inspector, renderer: ImageRenderer
) -> IngestHandler:
    renditions = RenditionStore(database, {store.name: store})
    thumbnails = ThumbnailRenderer(renderer, SIZES)
    return IngestHandler(
        database, store, renditions, inspector, thumbnails, Presets({}), ALLOWED, MONTH
    )


def jpeg(**options: int) -> bytes:
    image = pyvips.Image.gaussnoise(64, 48).cast("uchar").copy()
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Model", "X100")
    return bytes(image.jpegsave_buffer(**options))


async def stored(
    database: Database, store: BlobStore, data: bytes, sha256: bytes | None = None
) -> str:
    """A media as a finished upload leaves it, with its ingest job; returns its id."""
    media_id, blob_id = new_id(), new_id()
    key = store.key(blob_id)
    session = await store.driver.begin(key)
    name = PartName(1, 1)
    part = await store.driver.open_part(key, session, name)
    await part.write([data])
    await part.seal()
    await store.driver.complete(key, session, [StoredPart(name, len(data), sealed=True)])
    blob = Blob(blob_id, "raw", key, len(data), Checksums(0, sha256))
    async with database.transaction() as db:
        new = NewMedia(media_id, ALICE, Kind.IMAGE, "image/jpeg", "a.jpg", blob)
        await queries.insert(db, [new])
        await db.enqueue(NewJob(JobKind.INGEST, media_id, ALICE))
    return media_id


async def read(database: Database, media_id: str) -> Media:
    async with database.connection() as db:
        media = await queries.get(db, media_id)
        assert media is not None
        return media


async def job_state(database: Database, media_id: str) -> str:
    async with database.connection() as db:
        rows = await db.execute("select state from jobs where subject_id = %s", (media_id,))
        row = await rows.fetchone()
        assert row is not None
        return str(row["state"])


async def claim(database: Database) -> Claim:
    async with database.connection() as db:
        claimed = await claims.claim(db)
        assert claimed is not None
        return claimed


@asynccontextmanager
async def working(database: Database, handler: IngestHandler) -> AsyncIterator[None]:
    task = asyncio.create_task(Worker(database, {JobKind.INGEST: handler}, 1).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def reaches(database: Database, media_id: str, state: MediaState) -> AsyncIterator[None]:
    """On exit, waits for an event after which the media is in this state."""
    heard: asyncio.Queue[MediaChanged] = asyncio.Queue()
    with database.listen(MediaChanged, media_id, heard.put_nowait):
        yield
        async with asyncio.timeout(30):
            while (await read(database, media_id)).state is not state:
                await heard.get()


async def test_a_valid_image_becomes_ready(
    database: Database, store: BlobStore, handler: IngestHandler
) -> None:
    data = jpeg()
    media_id = await stored(database, store, data)
    async with working(database, handler), reaches(database, media_id, MediaState.READY):
        pass
    media = await read(database, media_id)
    assert media.state is MediaState.READY
    assert (media.image.width, media.image.height) == (64, 48)
    assert media.private_info.exif["Model"] == "X100"
    assert media.blob.checksums.sha256 == hashlib.sha256(data).digest()
    assert await job_state(database, media_id) == JobState.SUCCEEDED


async def test_every_image_gets_thumbnails_and_a_blurhash(
    database: Database, store: BlobStore, handler: IngestHandler
) -> None:
    media_id = await stored(database, store, jpeg())
    await handler.run(await claim(database), Progress())
    media = await read(database, media_id)
    made = {r.name: (r.content_type, r.width, r.height) for r in media.renditions}
    assert made == {
        "small": ("image/webp", 16, 12),
        "medium": ("image/webp", 32, 24),
        "large": ("image/webp", 64, 48),
    }
    for rendition in media.renditions:
        size = rendition.blob.size_bytes
        image = pyvips.Image.webpload_buffer(await store.head(rendition.blob.key, size, size))
        assert (image.width, image.height) == (rendition.width, rendition.height)
        assert not [name for name in image.get_fields() if "exif" in name]
    assert media.info is not None
    assert len(media.blurhash) == 4 + 2 * 4 * 3
    assert re.fullmatch(r"[0-9a-f]{6}", media.dominant_color)


async def test_an_image_whose_thumbnails_fail_becomes_ready(
    fork_server: ForkServer, database: Database, store: BlobStore, inspector: Inspector
) -> None:
    """The inspection accepts the image, but it is too large for the image renderer."""
    async with ImageRenderer(fork_server, 1, 1000, 1 << 26) as renderer:
        handler = handler_for(database, store, inspector, renderer)
        media_id = await stored(database, store, jpeg())
        await handler.run(await claim(database), Progress())
    media = await read(database, media_id)
    assert media.state is MediaState.READY
    assert media.renditions == ()
    assert media.image.width == 64
    assert media.blurhash == ""


async def test_a_broken_image_becomes_failed_and_is_kept(
    database: Database, store: BlobStore, handler: IngestHandler
) -> None:
    data = jpeg()
    data = data[: len(data) // 2]
    media_id = await stored(database, store, data)
    async with working(database, handler), reaches(database, media_id, MediaState.FAILED):
        pass
    media = await read(database, media_id)
    assert media.state is MediaState.FAILED
    assert media.fault is not None
    assert media.fault.reason == "MEDIA_CORRUPT"
    assert media.blob.checksums.sha256 == hashlib.sha256(data).digest()
    assert await store.head(media.blob.key, len(data), len(data)) == data
    assert await job_state(database, media_id) == JobState.FAILED


async def test_missing_bytes_are_reported_as_missing(
    database: Database, store: BlobStore, handler: IngestHandler
) -> None:
    media_id = await stored(database, store, jpeg())
    await store.driver.delete((await read(database, media_id)).blob.key)
    async with working(database, handler), reaches(database, media_id, MediaState.FAILED):
        pass
    fault = (await read(database, media_id)).fault
    assert fault is not None
    assert fault.reason == "BLOB_MISSING"


async def test_a_known_sha256_is_not_computed_again(
    database: Database, store: BlobStore, handler: IngestHandler
) -> None:
    media_id = await stored(database, store, jpeg(), sha256=bytes(32))
    await handler.run(await claim(database), Progress())
    media = await read(database, media_id)
    assert media.state is MediaState.READY
    assert media.blob.checksums.sha256 == bytes(32)


async def test_purging_a_media_ends_its_ingest_job(
    database: Database, store: BlobStore, handler: IngestHandler
) -> None:
    media_id = await stored(database, store, jpeg())
    claimed = await claim(database)
    async with database.transaction() as db:
        await remove_media(db, media_id)
    assert await job_state(database, media_id) == JobState.FAILED
    await handler.run(claimed, Progress())
    assert await job_state(database, media_id) == JobState.FAILED


async def test_a_worker_that_lost_the_job_changes_nothing(
    database: Database, store: BlobStore, handler: IngestHandler
) -> None:
    media_id = await stored(database, store, jpeg())
    lost = await claim(database)
    async with database.connection() as db:
        await db.execute("update jobs set fence = fence + 1")
    await handler.run(lost, Progress())
    await handler.give_up(lost, Fault("INTERNAL", "too late"))
    media = await read(database, media_id)
    assert media.state is MediaState.PENDING
    assert media.info is None


async def test_a_worker_that_loses_the_job_midway_changes_nothing(
    database: Database, store: BlobStore, handler: IngestHandler
) -> None:
    media_id = await stored(database, store, jpeg())
    lost = await claim(database)

    class Losing(Progress):
        def report(self, stage: str, percent: float) -> None:
            with psycopg.connect(database.url, autocommit=True) as db:
                db.execute("update jobs set fence = fence + 1")

    await handler.run(lost, Losing())
    media = await read(database, media_id)
    assert (media.state, media.info) == (MediaState.PROCESSING, None)


async def test_a_late_worker_does_not_restart_an_ended_inspection(
    database: Database, store: BlobStore, handler: IngestHandler
) -> None:
    """Otherwise the media would stay in PROCESSING for ever."""
    media_id = await stored(database, store, jpeg())
    late = await claim(database)
    async with database.connection() as db:
        await db.execute("update jobs set lease_until = now() - interval '1 s'")
    await handler.give_up(await claim(database), Fault("MEDIA_CORRUPT", "It is broken."))
    await handler.run(late, Progress())
    assert (await read(database, media_id)).state is MediaState.FAILED


async def test_a_temporarily_full_store_delays_thumbnails_rather_than_dropping_them(
    database: Database,
    store: BlobStore,
    inspector: Inspector,
    renderer: ImageRenderer,
) -> None:
    class Full(MemoryDriver):
        async def put(self, key: str, data: Buffer, content_type: str = "") -> None:
            raise ResourceExhausted(Reason.STORAGE_FULL, "No space is left.")

    full = BlobStore("raw", Full())
    renditions = RenditionStore(database, {"raw": full})
    thumbnails = ThumbnailRenderer(renderer, SIZES)
    handler = IngestHandler(
        database, store, renditions, inspector, thumbnails, Presets({}), ALLOWED, MONTH
    )
    media_id = await stored(database, store, jpeg())
    held = await claim(database)
    with pytest.raises(ResourceExhausted):
        await handler.run(held, Progress())
    assert (await read(database, media_id)).state is MediaState.PROCESSING
    assert await job_state(database, media_id) == JobState.RUNNING, "the worker puts it back"


async def test_an_inspection_stopped_midway_is_resumed(
    database: Database, store: BlobStore, handler: IngestHandler
) -> None:
    media_id = await stored(database, store, jpeg())
    async with (
        working(database, handler),
        reaches(database, media_id, MediaState.PROCESSING),
    ):
        pass
    assert await job_state(database, media_id) == JobState.QUEUED
    async with working(database, handler), reaches(database, media_id, MediaState.READY):
        pass
    assert (await read(database, media_id)).state is MediaState.READY


async def test_every_exif_text_can_be_stored(
    database: Database, store: BlobStore, handler: IngestHandler, tmp_path: Path
) -> None:
    """A NUL inside a tag is legal in EXIF, but not in PostgreSQL text."""
    data = jpeg().replace(b"X100\0", b"X\x000\xff\0")
    media_id = await stored(database, store, data)
    await handler.run(await claim(database), Progress())
    media = await read(database, media_id)
    assert media.state is MediaState.READY
    assert media.private_info.exif["Model"] == "X"


async def test_documents_of_earlier_releases_get_their_text(
    database: Database, store: BlobStore, inspector: Inspector
) -> None:
    """Those that cannot be read now stay due. What ingest will read is left to it."""
    intact, lost, waiting = [await stored(database, store, b"{\\rtf1 the sea}") for _ in range(3)]
    await store.driver.delete((await read(database, lost)).blob.key)
    async with database.connection() as db:
        await db.execute("update media set kind = 'DOCUMENT', content_type = 'application/rtf'")
        await db.execute("update media set state = 'READY' where media_id <> %s", (waiting,))
        await db.execute("insert into texts_due select media_id from media")
    assert [count async for count in read_existing_texts(database, store, inspector)] == [1]
    async with database.connection() as db:
        due = [row["id"] async for row in await db.execute(DUE_TEXTS)]
        texts = await (await db.execute(TEXTS)).fetchall()
    assert due == [lost]
    assert texts == [{"id": intact, "content": "the sea"}]
