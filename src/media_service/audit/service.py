"""Use cases of the audit log: the history of a media, the activity of a caller, statistics."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from media_service.access.page_tokens import PageTokens
from media_service.access.policy import Condition, decided
from media_service.access.principal import Principal
from media_service.audit import statistics
from media_service.audit.model import Analytics, Entry, Scope
from media_service.audit.queries import reading
from media_service.db.audit_entry import Category
from media_service.db.database import Database
from media_service.media.reader import MediaReader
from media_service.sharing.groups import load_organization
from media_service.sharing.projects import ProjectService

EXPORTED_TOGETHER = 500
KEY: Sequence[type] = (datetime, UUID)

# A page of entries, and a function that returns the token of the page after a given entry.
Page = tuple[list[Entry], Callable[[Entry], str]]


class AuditService:
    """`reader` may return media without their renditions."""

    def __init__(
        self,
        database: Database,
        reader: MediaReader,
        projects: ProjectService,
        page_tokens: PageTokens,
    ) -> None:
        self._database = database
        self._reader = reader
        self._projects = projects
        self._page_tokens = page_tokens

    async def history(
        self,
        principal: Principal,
        media_id: str,
        category: Category | None,
        page_token: str,
        limit: int,
    ) -> Page:
        """What was done to a media, newest first. Raises NotFound (MEDIA_NOT_FOUND)."""
        media = await self._reader.get(principal, media_id)
        query = ("media access", principal.owner, media.media_id, category)
        return await self._page(
            query, reading.of_media(media.media_id), category, page_token, limit
        )

    async def activity(
        self, principal: Principal, category: Category | None, page_token: str, limit: int
    ) -> Page:
        """What the caller did, newest first. A refused call reveals nothing about the media."""
        decided()
        owner = principal.owner
        query = ("activity", owner, category)
        async with self._database.connection() as db:
            person_id = await reading.person_of(db, owner.type, owner.id)
        if person_id is None:
            return [], lambda _: ""
        condition = reading.of_person(person_id)
        found, token_after = await self._page(query, condition, category, page_token, limit)
        return [concealed(entry) for entry in found], token_after

    async def _page(
        self,
        query: Sequence[object],
        condition: Condition,
        category: Category | None,
        page_token: str,
        limit: int,
    ) -> Page:
        where = [condition]
        if category:
            where.append(reading.of_category(category))
        if page_token:
            time, entry_id = self._page_tokens.open(query, page_token, KEY)
            where.append(reading.before(time, str(entry_id)))
        async with self._database.connection() as db:
            found = await reading.page(db, where, reading.NEWEST, limit)
        seal = self._page_tokens.seal
        return found, lambda entry: seal(query, [entry.time, entry.entry_id])

    async def analytics(self, principal: Principal, media_id: str, days: int) -> Analytics:
        """Raises NotFound (MEDIA_NOT_FOUND)."""
        media = await self._reader.get(principal, media_id)
        return await statistics.analytics(self._database, Scope.MEDIA, media.media_id, days)

    async def project_analytics(
        self, principal: Principal, project_id: str, days: int
    ) -> Analytics:
        """Raises NotFound (PROJECT_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        project = await self._projects.get(principal, project_id)
        return await statistics.analytics(self._database, Scope.PROJECT, project.project_id, days)

    async def organization_analytics(
        self, principal: Principal, organization_id: str, days: int
    ) -> Analytics:
        """Raises NotFound (ORGANIZATION_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        async with self._database.connection() as db:
            await load_organization(db, principal, organization_id)
        scope = Scope.ORGANIZATION
        return await statistics.analytics(self._database, scope, organization_id, days)

    async def export(
        self, principal: Principal, media_id: str, start: datetime | None, end: datetime | None
    ) -> AsyncGenerator[list[Entry], None]:
        """Entries of a media, oldest first, some at a time. Raises NotFound (MEDIA_NOT_FOUND)
        before the first."""
        media = await self._reader.get(principal, media_id)
        where = [reading.of_media(media.media_id)]
        if end:
            where.append(reading.until(end))
        position = reading.since(start) if start else None
        while True:
            conditions = [*where, position] if position else where
            async with self._database.connection() as db:
                found = await reading.page(db, conditions, reading.OLDEST, EXPORTED_TOGETHER)
            yield found
            if len(found) < EXPORTED_TOGETHER:
                return
            position = reading.after(found[-1].time, found[-1].entry_id)


def concealed(entry: Entry) -> Entry:
    """Without what only a caller with access to the media may know, if the call was refused."""
    if entry.category != Category.DENIAL:
        return entry
    return replace(entry, filename="", org_id="", project_id="", version=0)
