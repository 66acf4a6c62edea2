"""Unreferenced bytes: when they are removed, and when not."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media_service.db.database import Database
from media_service.errors import MediaError, Unavailable
from media_service.ids import new_id
from media_service.reconcile.compare import MISMATCH_THRESHOLD
from media_service.reconcile.model import GRACE, Kind, StoreMismatch
from media_service.storage.blob_store import BlobStore
from media_service.storage.buffer import Buffer
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.storage.drivers.memory import MemoryDriver
from tests.support.media.small_files import jpeg
from tests.support.reconciling import Service


async def orphan(service: Service) -> str:
    """Stores bytes without rows, as a server that dies in between; returns the key."""
    key = service.store.key(new_id())
    await service.driver.put(key, jpeg())
    return key


async def test_an_old_unreferenced_blob_is_found_and_removed(service: Service) -> None:
    media_id = await service.upload()
    key = await orphan(service)
    assert await service.reconcile(older_than=GRACE) == [], "an upload may be about to name it"
    (found,) = await service.reconcile()
    assert (found.kind, found.key, found.media_ids) == (Kind.ORPHANED, key, ())
    assert await service.driver.stat(key), "not without --repair"
    assert await service.reconcile(repair=True) == []
    assert await service.driver.stat(key) is None
    assert await service.reconcile() == []
    assert await service.driver.stat((await service.known(media_id)).blob.key)


async def test_a_blob_within_the_grace_period_is_not_removed(service: Service) -> None:
    key = await orphan(service)
    (found,) = await service.reconcile()
    assert not await service.reconciler(GRACE).repair(found)
    assert await service.driver.stat(key)


async def test_the_next_run_repairs_a_crash_during_a_removal(
    on_disk: Service,
) -> None:
    key = await orphan(on_disk)
    await on_disk.reconcile(repair=True)
    await on_disk.driver.put(key, jpeg())  # as if it had not been deleted
    assert await on_disk.kinds() == [Kind.ORPHANED]
    assert await on_disk.reconcile(repair=True) == []
    assert await on_disk.driver.stat(key) is None


async def test_a_file_left_by_an_interrupted_put_is_an_orphan(
    on_disk: Service, tmp_path: Path
) -> None:
    media_id = await on_disk.upload()
    blob = tmp_path / "raw" / (await on_disk.known(media_id)).blob.key
    left = blob.with_name(f"{new_id()}.new")
    left.write_bytes(b"half of it")
    (found,) = await on_disk.reconcile()
    assert (found.kind, found.key) == (Kind.ORPHANED, str(left.relative_to(tmp_path / "raw")))
    assert await on_disk.reconcile(repair=True) == []
    assert [path for path in (tmp_path / "raw").rglob("*") if path.is_file()] == [blob]


async def test_the_store_of_another_service_is_reported_and_not_emptied(on_disk: Service) -> None:
    keys = [await orphan(on_disk) for _ in range(MISMATCH_THRESHOLD)]
    with pytest.raises(StoreMismatch, match="does not belong to this database"):
        await on_disk.reconcile(repair=True)
    assert all([await on_disk.driver.stat(key) for key in keys])
    # A single known blob identifies it as the same service.
    await on_disk.upload()
    assert len(await on_disk.reconcile()) == MISMATCH_THRESHOLD


class HeldDriver(MemoryDriver):
    """Stops each upload between its bytes and its rows until released."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = asyncio.Event()
        self.go_on = asyncio.Event()

    async def put(self, key: str, data: Buffer, content_type: str = "") -> None:
        await super().put(key, data)
        self.stored.set()
        await self.go_on.wait()


@pytest.fixture
async def held(database: Database) -> AsyncIterator[Service]:
    service = Service(database, BlobStore("raw", HeldDriver()))
    yield service
    await service.runner.close()


def gate(service: Service) -> HeldDriver:
    assert isinstance(service.driver, HeldDriver)
    return service.driver


async def test_an_upload_recorded_before_the_removal_keeps_its_bytes(
    held: Service,
) -> None:
    data = jpeg()
    upload = asyncio.create_task(held.upload(data))
    await gate(held).stored.wait()
    (found,) = await held.reconcile()
    gate(held).go_on.set()
    media = await held.known(await upload)
    assert await held.reconciler().repair(found)
    assert await held.store.head(media.blob.key, len(data), len(data)) == data
    assert await held.reconcile() == []


async def test_an_upload_recorded_after_the_removal_is_refused(held: Service) -> None:
    upload = asyncio.create_task(held.upload())
    await gate(held).stored.wait()
    assert await held.reconcile(repair=True) == []
    gate(held).go_on.set()
    with pytest.raises(Unavailable):
        await upload
    assert await held.execute("select media_id from media") == []
    assert await held.reconcile() == []


async def test_a_removal_waits_for_an_uncommitted_upload(held: Service) -> None:
    """The rows are inserted but not committed: neither a query nor a unique key alone shows the
    outcome."""
    gate(held).go_on.set()
    key = await orphan(held)
    (found,) = await held.reconcile()
    blob_id = found.blob_id
    async with held.database.transaction() as db:
        await db.execute(
            "insert into blobs (blob_id, store, key, size_bytes, crc32c) values (%s, 'raw', %s,"
            " %s, 0)",
            (blob_id, key, len(jpeg())),
        )
        repair = asyncio.create_task(held.reconciler().repair(found))
        await until_waiting_for_lock(held)
        assert not repair.done()
    assert await repair
    assert await held.driver.stat(key)
    assert await held.execute("select upload_id from uploads") == [], (
        "nothing is left of the attempt"
    )


async def until_waiting_for_lock(service: Service) -> None:
    async with asyncio.timeout(20):
        while not await service.execute(
            "select pid from pg_stat_activity where wait_event_type = 'Lock'"
            " and datname = current_database()"
        ):
            await asyncio.sleep(0.01)


@pytest.fixture(params=["memory", "local"])
async def concurrent(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path
) -> AsyncIterator[Service]:
    driver = MemoryDriver() if request.param == "memory" else LocalDriver(tmp_path / "raw")
    service = Service(database, BlobStore("raw", driver))
    yield service
    await service.runner.close()
    await driver.close()


async def test_concurrent_uploads_and_removals_end_consistent(concurrent: Service) -> None:
    """Without a grace period: acknowledged uploads are stored, refused ones are not, and nothing is
    left over."""
    data, stored, refused = jpeg(), [], 0
    left = 60
    chance = random.Random(1)  # noqa: S311

    async def upload() -> None:
        nonlocal refused, left
        while left > 0:
            left -= 1
            await asyncio.sleep(chance.random() / 50)
            try:
                stored.append(await concurrent.upload(data))
            except MediaError:
                refused += 1

    async def repair() -> None:
        while left > 0:
            await concurrent.reconcile(repair=True)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(6):
            tasks.create_task(upload())
        for _ in range(2):
            tasks.create_task(repair())
    assert len(stored) + refused == 60
    for media_id in stored:
        media = await concurrent.known(media_id)
        assert await concurrent.store.head(media.blob.key, len(data), len(data)) == data
        assert media.fault is None
    found = await concurrent.execute("select count(*) as n from media")
    assert found == [{"n": len(stored)}]
    await concurrent.reconcile(repair=True)
    assert await concurrent.reconcile() == []
    listed = [info.key async for info in concurrent.driver.list("blobs/")]
    assert len(listed) == len(stored)
