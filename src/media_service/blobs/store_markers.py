"""Finds out at the start whether a store is the one that the database knows.

The id of a store is recorded before it is written into the store, so any number of processes may
start at once, and one that dies in between changes nothing.
"""

from media_service.blobs import queries
from media_service.db.database import Database
from media_service.errors import Reason, Unavailable
from media_service.ids import new_id
from media_service.storage.blob_store import BlobStore
from media_service.storage.marked_driver import KEY, read_marker, write_marker

# How many of the oldest and of the newest blobs are looked for in a store without a marker.
SAMPLE = 4


async def identify(database: Database, store: BlobStore) -> str:
    """Returns the marker of the store, if it is the one that the database expects, and guards it.
    Writes the marker of a store that never had one: a new store, or one with the blobs of an
    earlier version. Raises Unavailable."""
    async with database.connection() as db:
        marker, written = await queries.marker_of(db, store.name, new_id())
    found = await read_marker(store.driver)
    if not found and not written:
        await require_blobs(database, store)
        await write_marker(store.driver, marker)
        found = await read_marker(store.driver)
    if found != marker:
        what = f"has the marker {found}" if found else "has no marker"
        raise refusal(store, f"{what}, but the database expects {marker}")
    if not written:
        async with database.connection() as db:
            await queries.record_marker(db, store.name, marker)
    await store.driver.guard(KEY)
    return marker


async def require_blobs(database: Database, store: BlobStore) -> None:
    """Raises Unavailable if the database names blobs, and the store has none of them."""
    async with database.connection() as db:
        keys = await queries.some_keys(db, store.name, SAMPLE)
    for key in keys:
        if await store.driver.stat(key):
            return
    if keys:
        raise refusal(store, "has none of the blobs that the database names")


async def adopt(database: Database, store: BlobStore) -> str:
    """Makes the database expect this store as it is now, and returns its marker."""
    marker = await read_marker(store.driver)
    if not marker:
        marker = new_id()
        await write_marker(store.driver, marker)
    async with database.connection() as db:
        await queries.record_marker(db, store.name, marker)
    return marker


def refusal(store: BlobStore, what: str) -> Unavailable:
    return Unavailable(
        Reason.STORAGE_UNAVAILABLE,
        f"The {store.name} store {what}. Mount its disk, or correct its URL or credentials. To use"
        f" the store as it is from now on, run `media-service adopt-store {store.name}`.",
    )
