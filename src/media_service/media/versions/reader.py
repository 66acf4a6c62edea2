"""Reads versions that are not current. They may show what was replaced on purpose, so they need the
role EDITOR."""

from media_service.access.policy import authorize
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.errors import NotFound, Reason
from media_service.media.model import Media
from media_service.media.reader import not_found
from media_service.media.versions import queries


def version_not_found(media_id: str, version: int) -> NotFound:
    return NotFound(
        Reason.VERSION_NOT_FOUND,
        "The media has no such version.",
        media_id=media_id,
        version=version,
    )


def check_current(media: Media, version: int) -> None:
    """Raises NotFound (VERSION_NOT_FOUND) unless this is the current version, or 0."""
    if version not in {0, media.version}:
        raise version_not_found(media.media_id, version)


class VersionReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def shown(self, media: Media, version: int) -> Media:
        """Returns a media, which the caller may read, as this version shows it. 0: the current one.
        Raises NotFound (VERSION_NOT_FOUND) and PermissionDenied (ROLE_REQUIRED)."""
        if version in {0, media.version}:
            return media
        authorize(media, not_found(media.media_id), Role.EDITOR)
        async with self._database.connection() as db:
            found = await queries.get(db, media.media_id, version)
        if found is None:
            raise version_not_found(media.media_id, version)
        return found
