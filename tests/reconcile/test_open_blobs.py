"""Open blobs: abandoned ones are aborted, and those that an upload still needs are kept."""

import asyncio

import pytest

from media_service.errors import Unavailable
from media_service.ids import new_id
from media_service.jobs.model import JobKind
from media_service.jobs.progress import Progress
from media_service.media.model import MediaState
from media_service.reconcile.model import GRACE, Finding, Kind
from media_service.storage.checksums import Checksums
from media_service.storage.conformance.blobs import put, whole
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.uploads import queries
from media_service.uploads.handlers.discard import DiscardHandler
from media_service.uploads.model import NewUpload, UploadSpec, UploadState
from media_service.uploads.periodic_tasks import expire_uploads
from tests.support.batches import changed_by
from tests.support.media.small_files import video_bytes
from tests.support.reconciling import ANN, Service, opened, session


async def left_behind(service: Service) -> str:
    """The key of an open blob of a server that died between the first part and the upload's row."""
    key = service.store.key(new_id())
    session = await service.driver.begin(key)
    await put(service.driver, key, session, whole(service.driver, video_bytes(1000)))
    return key


async def test_an_old_open_blob_without_an_upload_is_found_and_aborted(service: Service) -> None:
    key = await left_behind(service)
    assert await service.reconcile(older_than=GRACE) == []
    (found,) = await service.reconcile()
    assert (found.kind, found.key) == (Kind.ABANDONED, key)
    assert await service.reconcile(repair=True) == []
    assert await opened(service) == []
    assert await service.reconcile() == []


async def test_the_periodic_sweep_aborts_open_blobs_and_can_run_twice(service: Service) -> None:
    await left_behind(service)
    await session(service, video_bytes(8 << 20))
    assert await service.reconciler(GRACE).abort_abandoned() == 0
    assert await service.reconciler().abort_abandoned() == 1
    assert await service.reconciler().abort_abandoned() == 0
    assert len(await opened(service)) == 1


async def test_findings_are_repaired_eight_at_a_time(on_disk: Service) -> None:
    for _ in range(9):
        await left_behind(on_disk)
    repairing = highest = 0
    full = asyncio.Event()

    async def repair(finding: Finding) -> None:
        nonlocal repairing, highest
        repairing += 1
        highest = max(highest, repairing)
        if repairing == 8:
            full.set()
        await full.wait()
        repairing -= 1

    async with asyncio.timeout(20):
        for comparison in on_disk.reconciler().comparisons(repair).values():
            await comparison.open_blobs()
    assert highest == 8


async def test_an_idle_upload_keeps_its_parts(service: Service) -> None:
    data = video_bytes(8 << 20)
    upload_id = await session(service, data)
    assert await service.reconcile(repair=True) == []
    await service.uploads.complete(ANN, upload_id, Checksums())
    media = (await service.uploads.get(ANN, upload_id)).media
    assert media is not None
    blob = media.blob
    assert await service.store.head(blob.key, len(data), len(data)) == data
    assert await service.reconcile() == []


async def test_a_joined_blob_that_is_not_yet_in_the_catalog_is_kept(
    service: Service,
) -> None:
    """The server dies after it completed the blob; the FINISH job will need it."""
    data = video_bytes(8 << 20)
    upload_id = await session(service, data)
    async with service.database.connection() as db:
        upload = await queries.get(db, upload_id)
        parts = await queries.parts(db, upload_id)
        assert upload is not None
        await queries.begin_verifying(
            db, upload_id, Checksums(), upload.committed_size, upload.next_part
        )
    key = service.store.key(upload.blob_id)
    await service.driver.complete(key, upload.store_session, [part.in_store for part in parts])
    assert await service.reconcile(repair=True) == []
    assert await service.driver.stat(key)


async def test_an_upload_recorded_after_its_parts_were_aborted_is_refused(
    service: Service,
) -> None:
    key = await left_behind(service)
    blob_id = key.rpartition("/")[2]
    await service.reconcile(repair=True)
    async with service.database.connection() as db:
        new = NewUpload(UploadSpec(), ANN.owner, blob_id=blob_id)
        added = await queries.insert(db, new, "", 1, GRACE)
    assert not added
    with pytest.raises(Unavailable):
        await service.upload(blob_id=blob_id)


async def test_an_open_multipart_upload_of_a_finished_blob_is_abandoned(service: Service) -> None:
    media_id = await service.upload()
    blob = (await service.known(media_id)).blob
    other = await service.driver.begin(blob.key)
    await put(service.driver, blob.key, other, whole(service.driver, video_bytes(1000)))
    assert await service.kinds() == [Kind.ABANDONED]
    assert await service.reconcile(repair=True) == []
    assert await opened(service) == []
    assert await service.driver.stat(blob.key)
    assert (await service.known(media_id)).state is MediaState.PENDING


async def test_bytes_of_an_upload_that_failed_with_its_store_are_kept_until_it_expires(
    on_disk: Service,
) -> None:
    await session(on_disk, video_bytes(8 << 20))
    await on_disk.execute(
        "update uploads set state = 'FAILED', error_reason = 'STORAGE_UNAVAILABLE'"
    )
    assert await on_disk.reconcile(repair=True) == []
    await on_disk.execute("update uploads set expire_time = now()")
    assert await on_disk.kinds(repair=True) == []
    assert await opened(on_disk) == []


async def test_an_expired_upload_leaves_nothing_in_any_store(service: Service) -> None:
    upload_id = await session(service, video_bytes(8 << 20))
    assert len(await opened(service)) == 1
    await service.execute("update uploads set expire_time = now() - interval '1 second'")
    assert await changed_by(expire_uploads(service.database)) == 1
    handler = DiscardHandler(service.database, service.store)
    await handler.run(await service.claim(JobKind.DISCARD), Progress())
    assert await opened(service) == []
    assert [info async for info in service.driver.list("blobs/")] == []
    if isinstance(service.driver, LocalDriver):
        assert not list(service.driver.root.glob("parts/blobs/*/*"))
    assert await service.reconcile() == []
    result = await service.uploads.get(ANN, upload_id)
    assert result.upload.state is UploadState.EXPIRED
