"""The renditions of media, read through a cache.

The caller's role decides about each read, and it is read with the row of the media. So that row
always comes from PostgreSQL, and a revocation takes effect at once. Its renditions are most of the
work, up to two hundred rows with their blobs. They are the same for every caller.

A value says of which `renditions_revision` of the media it is. A value of another one is not used,
so nobody reads renditions from before or after the row that names them, whichever of several reads
and changes comes first.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from media_service.cache.cache import Cache
from media_service.cache.keys import renditions_key
from media_service.db.database import Database
from media_service.media import queries
from media_service.media.model import Media, Rendition


class CachedRenditions:
    def __init__(self, database: Database, cache: Cache) -> None:
        self._database = database
        self._cache = cache

    async def complete_asked(self, asked: Sequence[Media | None]) -> list[Media | None] | None:
        """Like `complete`. None among the media stays."""
        completed = await self.complete([media for media in asked if media is not None])
        if completed is None:
            return None
        rest = iter(completed)
        return [None if media is None else next(rest) for media in asked]

    async def complete(self, bare: Sequence[Media]) -> list[Media] | None:
        """Adds their renditions to media that were read without. None if some have changed since:
        then read them again, with their renditions."""
        values = await self._cache.get([renditions_key(media.media_id) for media in bare])
        found = {
            media.media_id: renditions
            for media, value in zip(bare, values, strict=True)
            if (renditions := parse(value, media.renditions_revision)) is not None
        }
        missing = [media for media in bare if media.media_id not in found]
        if missing:
            async with self._database.connection() as db:
                read = await queries.renditions_of(db, [media.media_id for media in missing])
            if any(
                media.media_id not in read or read[media.media_id][0] != media.renditions_revision
                for media in missing
            ):
                return None
            await self._cache.put(
                {renditions_key(media_id): format_(*each) for media_id, each in read.items()}
            )
            found |= {
                media_id: queries.renditions_from(json.loads(text))
                for media_id, (_, text) in read.items()
            }
        return [replace(media, renditions=found[media.media_id]) for media in bare]


def format_(revision: int, text: str) -> bytes:
    return f"{revision} {text}".encode()


def parse(value: bytes | None, revision: int) -> tuple[Rendition, ...] | None:
    """The renditions of this revision. None if the value is of another one, or cut or foreign."""
    if value is None:
        return None
    written, _, text = value.partition(b" ")
    if written != str(revision).encode():
        return None
    try:
        return queries.renditions_from(json.loads(text))
    except (ValueError, TypeError, KeyError):
        return None
