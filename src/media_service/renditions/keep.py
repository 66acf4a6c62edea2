"""Gives media their renditions."""

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

# Renditions by pipelines of one media.
MOST = 200

# Does more in a transaction; False if the transaction is to do nothing.
Ending = Callable[[Transaction], Awaitable[bool]]


async def always(_: Transaction) -> bool:
    """Nothing more is to be done."""
    return True


class Renditions:
    """`stores`: by name, as blobs name theirs."""

    def __init__(self, database: Database, stores: Mapping[str, BlobStore]) -> None:
        self._database = database
        self._stores = stores
        self._placer = Placer(database)

    async def add(
        self, media_id: str, new: NewRendition, source: Path | bytes, ending: Ending = always
    ) -> bool:
        """Keeps a file, or bytes, as a rendition, in the place of an older one of the same name.

        `new.name`: small letters, digits, and `_.-` behind the first. `ending`: what is to be done
        in the transaction that adds it; if that says no, nothing is, and the answer is False.
        Raises NotFound (MEDIA_NOT_FOUND) if the media is gone, also if it goes meanwhile;
        FailedPrecondition (RENDITION_LIMIT_EXCEEDED).
        """
        media = await self._get(media_id)
        store = self._stores[media.home]
        size, checksums = await asyncio.to_thread(measure, source)

        write = partial(write_to, store, source, size, new.content_type)
        take = partial(self._take, media_id, new, ending)
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
        self, media_id: str, new: NewRendition, ending: Ending, tx: Transaction, blob: Blob
    ) -> bool:
        media = await queries.lock(tx, media_id)
        if media is None or not await ending(tx):
            return False
        if new.pipeline:
            check_room(media, new.name)
        await queries.put_rendition(tx, media_id, new, blob.blob_id)
        for older in media.renditions:
            if older.name == new.name:
                await retire(tx, media, older.blob)
        await queries.touch(tx, media_id)
        if blob.store != media.home:  # what it may be seen by has changed meanwhile
            await tx.enqueue(NewJob(JobKind.PUBLISH, media_id))
        tx.emit(MediaChanged(media_id))
        return True


def check_room(media: Media, name: str) -> None:
    """Raises FailedPrecondition (RENDITION_LIMIT_EXCEEDED) if a media has all the renditions by
    pipelines that it can have, and none of this name: they are part of all that is read of it."""
    made = media.made_by_pipelines
    if len(made) >= MOST and all(rendition.name != name for rendition in made):
        raise FailedPrecondition(
            Reason.RENDITION_LIMIT_EXCEEDED,
            f"A media has at most {MOST} renditions by pipelines; delete one first.",
            media_id=media.media_id,
            max_renditions=MOST,
        )


async def retire(tx: Transaction, media: Media, old: Blob) -> None:
    """Lets go of the blob that a rendition of the media lay in until now."""
    exposed = old.store == PUBLIC and not media.published
    await release(tx, old.blob_id, timedelta() if exposed else LINGER)
