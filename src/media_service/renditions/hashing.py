"""Hashes media that were ready before the service hashed media, a few at a time."""

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack

from media_service.codecs.image.perceptual_hash import SIDE
from media_service.codecs.image.source import ImageSource
from media_service.db.database import Database
from media_service.duplicates import queries
from media_service.errors import MediaError
from media_service.jobs.periodic import Batches
from media_service.media import queries as media_queries
from media_service.media.model import Kind, Media, MediaState, Rendition
from media_service.renditions.thumbnails import PLACEHOLDER_RENDITIONS, ThumbnailRenderer
from media_service.storage.blob_store import BlobStore

log = logging.getLogger(__name__)

BATCH = 20


async def hash_existing(
    database: Database, stores: Mapping[str, BlobStore], thumbnails: ThumbnailRenderer
) -> Batches:
    """Media whose bytes cannot be read now are tried again by the next run."""
    after = None
    while True:
        async with database.connection() as db:
            due = await queries.unhashed(db, after, BATCH)
            found = await media_queries.get_many(db, due)
        hashed = 0
        for media in found.values():
            try:
                hashes = await hashes_of(media, stores, thumbnails)
            except MediaError as error:
                log.warning("media %s has no hashes yet: %s", media.media_id, error.message)
                continue
            async with database.connection() as db:
                await queries.record(db, media.media_id, hashes)
            hashed += 1
        yield hashed
        if len(due) < BATCH:
            return
        after = due[-1]


async def hashes_of(
    media: Media, stores: Mapping[str, BlobStore], thumbnails: ThumbnailRenderer
) -> tuple[str, ...]:
    """Of a thumbnail if there is one, which is read faster than the original."""
    if media.state is not MediaState.READY:
        return ()
    rendition, info = thumbnail_of(media), media.info
    async with AsyncExitStack() as stack:
        if rendition:
            blob = rendition.blob
        elif media.kind is Kind.IMAGE and info is not None:
            blob = media.blob
        else:
            return ()
        store = stores[blob.store]
        path = await stack.enter_async_context(store.as_file(blob.key, blob.size_bytes))
        if rendition:
            source = ImageSource(
                path, rendition.content_type, rendition.width or SIDE, rendition.height or SIDE
            )
        else:
            source = ImageSource.of(path, media.content_type, info)
        return await thumbnails.hashes(source)


def thumbnail_of(media: Media) -> Rendition | None:
    """The smallest thumbnail of an image that is large enough, or the poster of a video."""
    if media.kind is Kind.VIDEO:
        poster = PLACEHOLDER_RENDITIONS[media.kind]
        return next((r for r in media.renditions if r.name == poster and r.width), None)
    large = [r for r in media.renditions if not r.pipeline and max(r.width, r.height) >= SIDE]
    return min(large, key=lambda r: r.width, default=None)
