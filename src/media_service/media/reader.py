"""Reads single media, the most frequent query. Concurrent reads share a query."""

from collections.abc import Sequence

from media_service.access.permission import Permission
from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.db.batcher import Batcher
from media_service.db.database import Database
from media_service.errors import NotFound, Reason
from media_service.media import queries
from media_service.media.model import Media, Rendition


def not_found(media_id: str) -> NotFound:
    return NotFound(
        Reason.MEDIA_NOT_FOUND,
        "The media does not exist, or it belongs to someone else.",
        media_id=media_id,
    )


def nothing_public() -> NotFound:
    return NotFound(Reason.MEDIA_NOT_FOUND, "There is no public content at this path.", media_id="")


class PublicReader:
    """Finds public renditions. Concurrent callers share a query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read = Batcher(self._read_many)

    async def get(self, key: str) -> tuple[Media, Rendition]:
        """Returns the rendition with this key in the public store, and its media.

        Raises NotFound (MEDIA_NOT_FOUND). This includes a media that is no longer public but whose
        rendition has not been moved yet.
        """
        media = await self._read(key) if "\0" not in key else None  # PostgreSQL has no NUL
        if media is None or not media.published:
            raise nothing_public()
        return media, next(r for r in media.renditions if r.blob.key == key)

    async def _read_many(self, keys: Sequence[str]) -> list[Media | None]:
        async with self._database.connection() as db:
            found = await queries.by_public_key(db, keys)
        return [found.get(key) for key in keys]


class MediaReader:
    """Reads media by id. Concurrent callers share a query. With `bare`, it leaves out the
    renditions, which may be two hundred rows."""

    def __init__(self, database: Database, *, bare: bool = False) -> None:
        self._database = database
        self._bare = bare
        self._read = Batcher(self._read_many)

    async def get(self, principal: Principal, media_id: str) -> Media:
        """Returns a media that the caller may read. Raises NotFound (MEDIA_NOT_FOUND)."""
        media_id = media_id.lower()
        found = await self.find(media_id)
        return authorize(principal, Permission.MEDIA_READ, found, not_found(media_id))

    async def find(self, media_id: str) -> Media | None:
        """Returns a media without checking the caller's permission."""
        return await self._read(media_id)

    async def _read_many(self, media_ids: Sequence[str]) -> list[Media | None]:
        async with self._database.connection() as db:
            found = await queries.get_many(db, media_ids, bare=self._bare)
        return [found.get(media_id) for media_id in media_ids]
