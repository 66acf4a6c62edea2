"""Stores renditions of media."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

from media_service.blobs.model import PUBLIC, Blob
from media_service.blobs.placing import LINGER, Placer, release
from media_service.blobs.writing import measure, write_to
from media_service.db.database import Database
from media_service.db.events import MediaChanged
from media_service.db.new_job import NewJob
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, Reason
from media_service.jobs.model import JobKind
from media_service.media import queries
from media_service.media.model import Media, NewRendition
from media_service.media.reader import not_found
from media_service.storage.blob_store import BlobStore

# Renditions of one media that pipelines rendered.
MAX_RENDITIONS = 200

# Runs in the transaction that adds a rendition. Returns False to add nothing.
Finish = Callable[[Transaction], Awaitable[bool]]


async def no_finish(_: Transaction) -> bool:
    """Adds nothing to the transaction."""
    return True


class RenditionStore:
    """`stores`: by name, as in `Blob.store`."""

    def __init__(self, database: Database, stores: Mapping[str, BlobStore]) -> None:
        self._database = database
        self._stores = stores
        self._placer = Placer(database)

    async def add(
        self, media_id: str, new: NewRendition, source: Path | bytes, finish: Finish = no_finish
    ) -> bool:
        """Stores a file, or bytes, as a rendition, which replaces one of the same name.

        `new.name`: lowercase letters and digits, and after the first also `_.-`. `finish` runs in
        the transaction that adds the rendition. Returns False if it returned False, and then
        nothing was added.

        Raises NotFound (MEDIA_NOT_FOUND) if the media is purged before the rendition is added;
        FailedPrecondition (RENDITION_LIMIT_EXCEEDED).
        """
        media = await self._get(media_id)
        store = self._stores[media.home]
        size, checksums = await asyncio.to_thread(measure, source)

        write = partial(write_to, store, source, size, new.content_type)
        take = partial(self._take, media_id, new, finish)
        if not await self._placer.place(store, size, checksums, write, take):
            await self._get(media_id)
            return False
        return True

    async def _get(self, media_id: str) -> Media:
        """Raises NotFound (MEDIA_NOT_FOUND)."""
        async with self._database.connection() as db:
            media = await queries.get(db, media_id)
        if media is None:
            raise not_found(media_id)
        return media

    async def _take(
        self, media_id: str, new: NewRendition, finish: Finish, tx: Transaction, blob: Blob
    ) -> bool:
        media = await queries.lock(tx, media_id)
        if media is None or not await finish(tx):
            return False
        if new.pipeline:
            check_rendition_limit(media, new.name)
        await queries.put_rendition(tx, media_id, new, blob.blob_id)
        for older in media.renditions:
            if older.name == new.name:
                await release_replaced(tx, media, older.blob)
        await queries.touch(tx, media_id)
        if blob.store != media.home:  # the visibility has changed since the write
            await tx.enqueue(NewJob(JobKind.PUBLISH, media_id))
        tx.emit(MediaChanged(media_id))
        return True


def check_rendition_limit(media: Media, name: str) -> None:
    """Raises FailedPrecondition (RENDITION_LIMIT_EXCEEDED) if the media has the maximum number of
    renditions from pipelines, and none of this name. Every read of a media reads them all."""
    rendered = media.made_by_pipelines
    if len(rendered) >= MAX_RENDITIONS and all(one.name != name for one in rendered):
        raise FailedPrecondition(
            Reason.RENDITION_LIMIT_EXCEEDED,
            f"The media has {MAX_RENDITIONS} renditions from pipelines, the maximum. Delete one"
            " first.",
            media_id=media.media_id,
            max_renditions=MAX_RENDITIONS,
        )


async def release_replaced(tx: Transaction, media: Media, old: Blob) -> None:
    """Releases the blob that a rendition of the media used until now."""
    exposed = old.store == PUBLIC and not media.published
    await release(tx, old.blob_id, timedelta() if exposed else LINGER)
