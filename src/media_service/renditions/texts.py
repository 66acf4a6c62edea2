"""Reads the text of documents that were stored before the service did, a few at a time."""

import logging

from media_service.codecs.inspector import Inspector
from media_service.db.database import Database
from media_service.errors import MediaError
from media_service.jobs.periodic import Batches
from media_service.media import queries as media_queries
from media_service.media.model import Kind, Media, MediaState
from media_service.search import indexing
from media_service.storage.blob_store import BlobStore

log = logging.getLogger(__name__)

BATCH = 20


async def read_existing_texts(database: Database, raw: BlobStore, inspector: Inspector) -> Batches:
    """Documents whose bytes cannot be read now are tried again by the next run."""
    after = None
    while True:
        async with database.connection() as db:
            due = await indexing.texts_due(db, after, BATCH)
            found = await media_queries.get_many(db, due)
        read = 0
        for media in found.values():
            try:
                content = await content_of(media, raw, inspector)
            except MediaError as error:
                log.warning("media %s has no text yet: %s", media.media_id, error.message)
                continue
            await put(database, media, content)
            read += bool(content)
        yield read
        if len(due) < BATCH:
            return
        after = due[-1]


async def content_of(media: Media, raw: BlobStore, inspector: Inspector) -> str:
    """Empty if it is not READY: then its ingest reads the text."""
    if media.state is not MediaState.READY or media.kind is not Kind.DOCUMENT:
        return ""
    async with raw.as_file(media.blob.key, media.blob.size_bytes) as path:
        return await inspector.words_of(path, media.content_type, indexing.MAX_CONTENT)


async def put(database: Database, media: Media, content: str) -> None:
    async with database.transaction() as tx:
        now = await media_queries.lock(tx, media.media_id)
        if now and now.version == media.version and content:
            await indexing.put_content(tx, media.media_id, content)
        await indexing.text_done(tx, media.media_id)
