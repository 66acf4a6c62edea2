"""Rows whose bytes are missing or damaged: quarantine and recovery."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from media_service.access.owner import Owner
from media_service.blobs.handlers.unlink import UnlinkHandler
from media_service.blobs.model import Blob
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspection import ImageInfo, Inspection
from media_service.codecs.inspector import Inspector
from media_service.codecs.sandbox.forks import ForkServer
from media_service.db.database import Database
from media_service.ids import new_id
from media_service.jobs.model import JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.media import queries as catalogue
from media_service.media.allowed_types import AllowedTypes
from media_service.media.model import Kind as MediaKind
from media_service.media.model import MediaState, NewMedia, Placeholder
from media_service.reconcile.compare import BATCH
from media_service.reconcile.model import Kind
from media_service.renditions.delete import remove_media
from media_service.renditions.handlers.ingest import IngestHandler
from media_service.renditions.presets import Presets
from media_service.renditions.rendition_store import RenditionStore
from media_service.renditions.thumbnails import ThumbnailRenderer
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.driver import ObjectInfo
from media_service.storage.drivers.memory import MemoryDriver
from tests.support.media.small_files import jpeg
from tests.support.reconciling import Service

ALLOWED = AllowedTypes(("image/*",))


async def make_ready(service: Service, media_id: str) -> None:
    async with service.database.connection() as db:
        found = Inspection(info=ImageInfo(width=64, height=48), content_type="image/jpeg")
        await catalogue.set_info(db, media_id, MediaKind.IMAGE, found, Placeholder())


async def fault(service: Service, media_id: str) -> str | None:
    media = await service.known(media_id)
    return media.fault.reason if media.fault else None


async def test_a_consistent_store_has_no_findings(service: Service) -> None:
    for _ in range(3):
        await service.upload()
    assert await service.reconcile() == []
    assert await service.reconcile(checksums=False) == []


async def test_missing_bytes_are_reported_with_their_media_and_nothing_else_changes(
    service: Service,
) -> None:
    media_id = await service.upload()
    before = await service.known(media_id)
    await service.driver.delete(before.blob.key)
    (found,) = await service.reconcile()
    assert (found.kind, found.store, found.key) == (Kind.MISSING, "raw", before.blob.key)
    assert found.media_ids == (media_id,)
    assert await service.known(media_id) == before


async def test_a_media_without_its_bytes_is_quarantined_once(service: Service) -> None:
    media_id, other = await service.upload(), await service.upload()
    await service.driver.delete((await service.known(media_id)).blob.key)
    assert await service.kinds(repair=True) == [Kind.MISSING]
    media = await service.known(media_id)
    assert media.state is MediaState.QUARANTINED
    assert await fault(service, media_id) == "BLOB_MISSING"
    assert await service.kinds(repair=True) == [Kind.MISSING], "it is still missing"
    assert await service.known(media_id) == media, "but nothing is changed again"
    assert (await service.known(other)).state is MediaState.PENDING


@pytest.mark.parametrize("change", [-1, 1])
async def test_bytes_of_another_size_count_as_missing(service: Service, change: int) -> None:
    data = jpeg()
    media_id = await service.upload(data)
    other = data[:change] if change < 0 else data + b"x"
    await service.driver.put((await service.known(media_id)).blob.key, other)
    (found,) = await service.reconcile(checksums=False)
    assert found.kind is Kind.MISSING
    assert f"{len(other)} bytes instead of {len(data)}" in found.detail


async def test_damaged_bytes_are_found_by_reading_and_are_kept(service: Service) -> None:
    data = jpeg()
    damaged = data[:-3] + b"\0" + data[-2:]
    media_id = await service.upload(data)
    blob = (await service.known(media_id)).blob
    await service.driver.put(blob.key, damaged)
    assert await service.reconcile(checksums=False) == []
    assert await service.kinds(repair=True) == [Kind.CORRUPT]
    media = await service.known(media_id)
    assert media.state is MediaState.QUARANTINED
    assert await fault(service, media_id) == "CHECKSUM_MISMATCH"
    assert media.blob == blob
    assert await service.store.head(blob.key, len(data), len(data)) == damaged


async def test_a_sha256_mismatch_alone_is_damage(on_disk: Service) -> None:
    await on_disk.upload()
    await on_disk.execute("update blobs set sha256 = %s", bytes(32))
    (found,) = await on_disk.reconcile()
    assert found.kind is Kind.CORRUPT
    assert "sha256" in found.detail


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("damaged", [True, False])
async def test_a_quarantined_media_is_restored_with_its_bytes(
    service: Service, damaged: bool, checksums: bool
) -> None:
    data = jpeg()
    media_id = await service.upload(data)
    await make_ready(service, media_id)
    key = (await service.known(media_id)).blob.key
    if damaged:
        await service.driver.put(key, bytes(len(data)))
    else:
        await service.driver.delete(key)
    await service.reconcile(repair=True)
    assert (await service.known(media_id)).state is MediaState.QUARANTINED
    # Quarantined bytes are read even without checksums.
    expected = [Kind.CORRUPT if damaged else Kind.MISSING]
    assert await service.kinds(repair=True, checksums=checksums) == expected
    await service.driver.put(key, data)
    assert await service.kinds(checksums=checksums) == [Kind.RECOVERED]
    assert (await service.known(media_id)).state is MediaState.QUARANTINED, "not before --repair"
    assert await service.reconcile(repair=True, checksums=checksums) == []
    media = await service.known(media_id)
    assert (media.state, media.fault) == (MediaState.READY, None)
    assert await service.reconcile() == []


async def test_a_media_that_was_never_inspected_is_inspected_when_restored(
    fork_server: ForkServer,
    on_disk: Service,
) -> None:
    data = jpeg()
    media_id = await on_disk.upload(data)
    key = (await on_disk.known(media_id)).blob.key
    await on_disk.driver.delete(key)
    await on_disk.reconcile(repair=True)
    async with (
        Inspector(fork_server, 1_000_000, 1) as inspector,
        ImageRenderer(fork_server, 1, 1_000_000, 1 << 26) as renderer,
    ):
        store = on_disk.store
        renditions = RenditionStore(on_disk.database, {store.name: store})
        thumbnails = ThumbnailRenderer(renderer, {"small": 16})
        ingest = IngestHandler(
            *(on_disk.database, store, renditions, inspector, thumbnails, Presets({}), ALLOWED),
            purge_after=timedelta(days=30),
        )
        # The job of the upload leaves the quarantined media unchanged, and ends.
        await ingest.run(await on_disk.claim(JobKind.INGEST), Progress())
        assert (await on_disk.known(media_id)).state is MediaState.QUARANTINED
        await on_disk.driver.put(key, data)
        await on_disk.execute("update media set project_id = 'p' where media_id = %s", media_id)
        await on_disk.reconcile(repair=True)
        assert (await on_disk.known(media_id)).state is MediaState.PENDING
        ingests = "select project_id from jobs where kind = 'INGEST' and state = 'QUEUED'"
        assert await on_disk.execute(ingests) == [{"project_id": "p"}]
        await ingest.run(await on_disk.claim(JobKind.INGEST), Progress())
    assert (await on_disk.known(media_id)).state is MediaState.READY
    states = await on_disk.execute("select distinct state from jobs where kind = 'INGEST'")
    assert states == [{"state": JobState.SUCCEEDED}]


async def test_an_inspection_that_ends_late_does_not_end_the_quarantine(on_disk: Service) -> None:
    media_id = await on_disk.upload()
    await on_disk.driver.delete((await on_disk.known(media_id)).blob.key)
    await on_disk.reconcile(repair=True)
    await make_ready(on_disk, media_id)
    assert (await on_disk.known(media_id)).state is MediaState.QUARANTINED


async def test_a_quarantine_for_another_reason_is_left_unchanged(on_disk: Service) -> None:
    media_id = await on_disk.upload()
    await on_disk.execute("update media set state = 'QUARANTINED', error_reason = 'INTERNAL'")
    before = await on_disk.known(media_id)
    assert await on_disk.reconcile(repair=True) == []
    assert await on_disk.known(media_id) == before
    await on_disk.driver.delete(before.blob.key)
    assert await on_disk.kinds(repair=True) == [Kind.MISSING]
    assert await on_disk.known(media_id) == before


async def test_the_reason_of_a_quarantine_is_updated_with_the_state_of_the_bytes(
    on_disk: Service,
) -> None:
    data = jpeg()
    media_id = await on_disk.upload(data)
    key = (await on_disk.known(media_id)).blob.key
    await on_disk.driver.delete(key)
    await on_disk.reconcile(repair=True)
    await on_disk.driver.put(key, bytes(len(data)))
    await on_disk.reconcile(repair=True)
    assert await fault(on_disk, media_id) == "CHECKSUM_MISMATCH"


async def test_a_damaged_earlier_version_is_reported_without_changing_the_media(
    on_disk: Service,
) -> None:
    media_id, newer = await on_disk.upload(), await on_disk.upload()
    old, new = (await on_disk.known(media_id)).blob, (await on_disk.known(newer)).blob
    await on_disk.execute(
        "insert into media_versions (media_id, version, blob_id, content_type)"
        " values (%s, 2, %s, 'image/jpeg')",
        media_id,
        new.blob_id,
    )
    await on_disk.execute("update media set version = 2 where media_id = %s", media_id)
    await on_disk.driver.delete(old.key)
    (found,) = await on_disk.reconcile(repair=True)
    assert found.media_ids == (media_id,)
    assert (await on_disk.known(media_id)).state is MediaState.PENDING


async def test_a_purge_is_not_a_finding_at_any_step(service: Service) -> None:
    media_id = await service.upload()
    key = (await service.known(media_id)).blob.key
    async with service.database.transaction() as db:
        await remove_media(db, media_id)
    assert await service.reconcile() == [], "its bytes wait for a job"
    await service.driver.delete(key)
    assert await service.reconcile() == [], "its row waits for the job"
    handler = UnlinkHandler(service.database, {"raw": service.store})
    await handler.run(await service.claim(JobKind.UNLINK), Progress())
    assert await service.reconcile() == []


async def test_bytes_that_no_job_could_unlink_are_orphans(on_disk: Service) -> None:
    media_id = await on_disk.upload()
    key = (await on_disk.known(media_id)).blob.key
    async with on_disk.database.transaction() as db:
        await remove_media(db, media_id)
    await on_disk.execute("update jobs set state = 'FAILED'")
    assert await on_disk.kinds() == [Kind.ORPHANED]
    assert await on_disk.reconcile(repair=True) == []
    assert await on_disk.driver.stat(key) is None


async def test_a_wrong_reference_count_does_not_remove_referenced_bytes(on_disk: Service) -> None:
    media_id = await on_disk.upload()
    await on_disk.execute("update blobs set reference_count = 0")
    assert await on_disk.reconcile(repair=True) == []
    assert await on_disk.driver.stat((await on_disk.known(media_id)).blob.key)


async def test_many_blobs_are_compared_page_by_page(on_disk: Service) -> None:
    """More than two pages of rows and of objects, with a finding in each."""
    blobs = [new_id() for _ in range(2 * BATCH + 100)]
    keys = sorted(on_disk.store.key(blob_id) for blob_id in blobs)
    data = jpeg()
    for key in keys:
        await on_disk.driver.put(key, data)
    new = [
        NewMedia(
            new_id(),
            Owner("user", "ann"),
            MediaKind.IMAGE,
            "image/jpeg",
            "",
            Blob(blob_id, "raw", on_disk.store.key(blob_id), len(data), Checksums(0)),
        )
        for blob_id in blobs
    ]
    async with on_disk.database.transaction() as db:
        await catalogue.insert(db, new)
    assert await on_disk.reconcile(checksums=False) == []
    gone = [keys[0], keys[BATCH - 1], keys[BATCH], keys[-1]]
    for key in gone:
        await on_disk.driver.delete(key)
    orphans = [on_disk.store.key(new_id()) for _ in range(5)]
    for key in orphans:
        await on_disk.driver.put(key, data)
    found = await on_disk.reconcile(checksums=False)
    assert sorted(one.key for one in found if one.kind is Kind.MISSING) == gone
    assert {one.key for one in found if one.kind is Kind.ORPHANED} == set(orphans)


class PurgedBehindTheRow(MemoryDriver):
    """Purges blobs between the read of their row and the check of their bytes."""

    purge: Callable[[], Awaitable[None]] | None = None

    async def stat(self, key: str) -> ObjectInfo | None:
        if self.purge is not None:
            purge, self.purge = self.purge, None
            await purge()
        return await super().stat(key)


async def test_a_purge_between_reading_row_and_bytes_is_not_a_finding(database: Database) -> None:
    driver = PurgedBehindTheRow()
    service = Service(database, BlobStore("raw", driver))
    media_id = await service.upload()

    async def purge() -> None:
        async with database.transaction() as db:
            await remove_media(db, media_id)
        await UnlinkHandler(database, {"raw": service.store}).run(
            await service.claim(JobKind.UNLINK), Progress()
        )

    driver.purge = purge
    assert await service.reconcile() == []
    assert driver.purge is None
    assert await service.media(media_id) is None
