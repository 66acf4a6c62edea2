"""Knows which renditions that do not exist yet will exist soon."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from media_service.codecs.pipeline.pipeline import names_of_job
from media_service.db.batcher import Batcher
from media_service.db.database import Database
from media_service.errors import NotFound
from media_service.jobs.queries import reading
from media_service.jobs.queries.reading import RenditionKey
from media_service.media.model import Kind, Media
from media_service.media.service import UNINSPECTED, not_ready, policies_of
from media_service.renditions.presets import expected_names

T = TypeVar("T")


class Forthcoming:
    """`standard` has the names of the renditions that new media of a kind may get."""

    def __init__(self, database: Database, standard: Mapping[Kind, Collection[str]]) -> None:
        self._database = database
        self._standard = standard
        self._is_rendering = Batcher(self._are_rendering)

    async def has(self, media: Media, name: str) -> bool:
        """Whether the inspection of the media has not ended and may be followed by this rendition,
        or a job that has not ended renders it."""
        if "\0" in name:  # PostgreSQL has no such text, and other callers share the statement
            return False
        names = names_of_job(name)
        if media.state in UNINSPECTED:
            standard = {*self._standard[media.kind], *await self._of_policies(media)}
            if not standard.isdisjoint(names):
                return True
        return any([await self._is_rendering((media.media_id, each)) for each in names])

    async def _of_policies(self, media: Media) -> Collection[str]:
        if not (media.owner.org_id or media.project_id):
            return ()
        async with self._database.connection() as db:
            policies = await policies_of(db, media.owner.org_id, media.project_id)
        return expected_names(policies.presets, media.kind)

    async def look_again(self, media: Media, name: str, look: Callable[[], Awaitable[T]]) -> T:
        """Returns what `look` returns. Call this after `look` raised NotFound for this rendition.
        Raises Unavailable (MEDIA_NOT_READY) instead if the rendition will exist soon."""
        soon = await self.has(media, name)
        try:
            return await look()  # a job may have ended since
        except NotFound:
            if soon:
                message = f"The rendition {name} is not complete yet. Try again soon."
                raise not_ready(media.media_id, message) from None
            raise

    async def _are_rendering(self, keys: Sequence[RenditionKey]) -> list[bool]:
        async with self._database.connection() as db:
            found = await reading.rendering(db, keys)
        return [key in found for key in keys]
