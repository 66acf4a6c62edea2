"""At the start, a store must be the one that the database knows."""

import asyncio
from pathlib import Path

import pytest

from media_service.blobs import queries
from media_service.blobs.model import Blob
from media_service.blobs.store_markers import adopt, identify
from media_service.db.database import Database
from media_service.errors import Reason, Unavailable
from media_service.ids import new_id
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.storage.marked_driver import read_marker, write_marker


async def named_blob(database: Database, store: BlobStore) -> str:
    """A blob that the database names. Returns its key."""
    blob_id = new_id()
    key = store.key(blob_id)
    async with database.connection() as db:
        await queries.reserve(db, Blob(blob_id, store.name, key, 5, Checksums(0, bytes(32))))
        await queries.take(db, blob_id)
    return key


async def refused(database: Database, store: BlobStore) -> str:
    with pytest.raises(Unavailable) as caught:
        await identify(database, store)
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert "media-service adopt-store raw" in caught.value.message
    return caught.value.message


def empty(store: BlobStore, tmp_path: Path) -> BlobStore:
    """Another directory for the same store."""
    return BlobStore(store.name, LocalDriver(tmp_path / new_id()))


async def test_the_processes_of_a_new_service_agree_on_a_marker(
    database: Database, store: BlobStore
) -> None:
    markers = await asyncio.gather(*(identify(database, store) for _ in range(4)))
    assert {await identify(database, store), await read_marker(store.driver)} == set(markers)


async def test_a_store_with_blobs_of_an_earlier_version_gets_a_marker(
    database: Database, store: BlobStore
) -> None:
    lost, there = await named_blob(database, store), await named_blob(database, store)
    await store.driver.put(there, b"bytes")
    assert await identify(database, store) == await read_marker(store.driver)
    assert await store.driver.stat(lost) is None


async def test_an_empty_store_beside_a_database_with_blobs_is_refused(
    database: Database, store: BlobStore
) -> None:
    await named_blob(database, store)
    assert "none of the blobs" in await refused(database, store)
    assert await read_marker(store.driver) == ""


async def test_a_store_that_lost_its_marker_is_refused(
    database: Database, store: BlobStore, tmp_path: Path
) -> None:
    await identify(database, store)
    assert "no marker" in await refused(database, empty(store, tmp_path))
    await identify(database, store)


async def test_the_store_of_another_database_is_refused(
    database: Database, store: BlobStore
) -> None:
    other = new_id()
    await write_marker(store.driver, other)
    assert other in await refused(database, store)


async def test_a_process_that_dies_before_it_writes_the_marker_changes_nothing(
    database: Database, store: BlobStore
) -> None:
    async with database.connection() as db:
        marker, written = await queries.marker_of(db, store.name, new_id())
    assert not written
    await identify(database, store)
    assert await read_marker(store.driver) == marker


async def test_an_adopted_store_is_accepted(
    database: Database, store: BlobStore, tmp_path: Path
) -> None:
    await identify(database, store)
    fresh = empty(store, tmp_path)
    assert await adopt(database, fresh) == await read_marker(fresh.driver)
    await identify(database, fresh)
    await refused(database, store)
    assert await adopt(database, store) == await read_marker(store.driver)
