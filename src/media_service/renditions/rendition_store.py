"""Stores renditions of media."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from media_service.blobs.model import Blob
from media_service.blobs.placing import NewBlob, Placer
from media_service.blobs.writing import measure, write_to
from media_service.db.database import Database
from media_service.db.event_types import EventType
from media_service.db.new_event import Event
from media_service.db.new_job import NewJob
from media_service.db.notifications import MediaChanged
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, Reason
from media_service.jobs.model import JobKind
from media_service.media import queries
from media_service.media.model import Media, NewRendition
from media_service.media.reader import not_found
from media_service.renditions.keeping import put_renditions
from media_service.storage.blob_store import BlobStore

# The maximum number of renditions from pipelines per media.
MAX_RENDITIONS = 200

# Runs in the transaction that adds a rendition. Returns False to add nothing.
Finish = Callable[[Transaction], Awaitable[bool]]


async def no_finish(_: Transaction) -> bool:
    """A `Finish` that does nothing."""
    return True


@dataclass(frozen=True, slots=True)
class RenditionFile:
    """A rendition to add, and its bytes: a file, or bytes in memory."""

    rendition: NewRendition
    source: Path | bytes


class RenditionStore:
    """Stores renditions. `stores` maps the names in `Blob.store` to stores."""

    def __init__(self, database: Database, stores: Mapping[str, BlobStore]) -> None:
        self._database = database
        self._stores = stores
        self._placer = Placer(database)

    async def add(
        self, media_id: str, new: NewRendition, source: Path | bytes, finish: Finish = no_finish
    ) -> bool:
        """Like `add_all`, for one rendition."""
        return await self.add_all(media_id, [RenditionFile(new, source)], finish)

    async def add_all(
        self, media_id: str, files: Sequence[RenditionFile], finish: Finish = no_finish
    ) -> bool:
        """Stores renditions in one transaction. They replace renditions with the same names. A
        reader sees all of them or none, and the etag of the media changes once.

        Names consist of lowercase letters and digits, and after the first character also `_.-`.
        `finish` runs in the transaction that adds the renditions. If it returns False, nothing is
        added and the result is False.

        Raises NotFound (MEDIA_NOT_FOUND) if the media is purged before the renditions are added,
        and FailedPrecondition (RENDITION_LIMIT_EXCEEDED).
        """
        media = await self._get(media_id)
        store = self._stores[media.rendition_store]
        blobs = []
        for file in files:
            size, checksums = await asyncio.to_thread(measure, file.source)
            content_type = file.rendition.content_type
            write = partial(write_to, store, file.source, size, content_type)
            blobs.append(NewBlob(size, checksums, write))
        renditions = [file.rendition for file in files]
        if not await self._placer.place_all(
            store, blobs, partial(self._take, media_id, renditions, finish)
        ):
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
        self,
        media_id: str,
        renditions: Sequence[NewRendition],
        finish: Finish,
        tx: Transaction,
        blobs: Sequence[Blob],
    ) -> bool:
        media = await queries.lock(tx, media_id)
        if media is None or not await finish(tx):
            return False
        check_rendition_limit(media, *(new.name for new in renditions if new.pipeline))
        await put_renditions(tx, media, renditions, blobs)
        if renditions:
            await queries.touch(tx, media_id)
        for new in renditions:
            created = EventType.RENDITION_CREATED
            tx.emit(Event(type=created, media_id=media_id, data={"rendition": new.name}))
        if any(blob.store != media.rendition_store for blob in blobs):  # the visibility has changed
            await tx.enqueue(NewJob(JobKind.PUBLISH, media_id))
        tx.notify(MediaChanged(media_id))
        return True


def check_rendition_limit(media: Media, *names: str) -> None:
    """Raises FailedPrecondition (RENDITION_LIMIT_EXCEEDED) if the media would exceed the maximum
    number of renditions from pipelines. The limit exists because every read of a media reads all of
    them."""
    rendered = {rendition.name for rendition in media.rendered_by_pipelines}
    if len(rendered.union(names)) > MAX_RENDITIONS:
        raise FailedPrecondition(
            Reason.RENDITION_LIMIT_EXCEEDED,
            f"A media has at most {MAX_RENDITIONS} renditions from pipelines, and this one has"
            f" {len(rendered)}. Delete one first.",
            media_id=media.media_id,
            max_renditions=MAX_RENDITIONS,
        )
