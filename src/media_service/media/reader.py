"""Reads single media, the most frequent query. Concurrent reads share a query."""

from collections.abc import Sequence

from media_service.access.lists import Key
from media_service.access.policy import Condition, authorize
from media_service.access.principal import Principal
from media_service.access.queries import Scope
from media_service.access.role import Role
from media_service.db.batcher import Batcher
from media_service.db.database import Database
from media_service.errors import NotFound, Reason
from media_service.media import queries
from media_service.media.cached_renditions import CachedRenditions
from media_service.media.model import Listed, Media, Rendition


def not_found(media_id: str) -> NotFound:
    return NotFound(
        Reason.MEDIA_NOT_FOUND,
        "The media does not exist, or the caller may not see it.",
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
    renditions, which may be two hundred rows. `cached`: through which it reads them."""

    def __init__(
        self,
        database: Database,
        *,
        bare: bool = False,
        cached: CachedRenditions | None = None,
    ) -> None:
        self._database = database
        self._bare = bare
        self._cached = cached
        self._read = Batcher(self._read_many)

    async def get(self, principal: Principal, media_id: str) -> Media:
        """Returns a media on which the caller has the role that the method requires. Raises
        NotFound (MEDIA_NOT_FOUND) and PermissionDenied (ROLE_REQUIRED)."""
        media_id = media_id.lower()
        found = await self._read((media_id, principal))
        return authorize(found, not_found(media_id))

    async def view(self, principal: Principal, media_id: str) -> Media:
        """Like `get`, for a media that is not the resource of the method: every role suffices."""
        found = await self._read((media_id, principal))
        return authorize(found, not_found(media_id), Role.VIEWER)

    async def may_examine(self, principal: Principal) -> bool:
        """Whether the caller may read originals that are in quarantine: administrators."""
        async with self._database.connection() as db:
            return await queries.service_role(db, principal) is Role.OWNER

    async def find(self, media_id: str, principal: Principal | None = None) -> Media | None:
        """Returns a media, with the role of the principal, without checking it."""
        return await self._read((media_id, principal))

    async def page(
        self,
        scope: Scope,
        where: Sequence[Condition],
        keys: Sequence[Key],
        limit: int,
        after: Sequence[Condition],
    ) -> list[Listed]:
        """Returns a page as `queries.page` does."""

        async def query(*, bare: bool) -> list[Listed]:
            async with self._database.connection() as db:
                return await queries.page(db, scope, where, keys, limit, after, bare=bare)

        if self._cached:
            listed = await query(bare=True)
            media = await self._cached.complete([each.media for each in listed])
            if media is not None:
                return [Listed(*each) for each in zip(media, (e.key for e in listed), strict=True)]
        return await query(bare=self._bare)

    async def _read_many(self, asked: Sequence[tuple[str, Principal | None]]) -> list[Media | None]:
        distinct = list(dict.fromkeys(asked))
        media = await self._read_through(self._cached, distinct) if self._cached else None
        if media is None:
            media = await self._query(distinct, bare=self._bare)
        found = dict(zip(distinct, media, strict=True))
        return [found[each] for each in asked]

    async def _read_through(
        self, cached: CachedRenditions, asked: Sequence[tuple[str, Principal | None]]
    ) -> list[Media | None] | None:
        """None if renditions changed meanwhile."""
        return await cached.complete_asked(await self._query(asked, bare=True))

    async def _query(
        self, asked: Sequence[tuple[str, Principal | None]], *, bare: bool
    ) -> list[Media | None]:
        async with self._database.connection() as db:
            return await queries.get_asked(db, asked, bare=bare)
