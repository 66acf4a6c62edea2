"""Use cases of the audit log: the history of a media, the activity of a caller, statistics."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from media_service.access.owner import USER, Owner
from media_service.access.page_tokens import PageTokens
from media_service.access.policy import Condition, decided
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.audit import statistics
from media_service.audit.model import Analytics, Entry, Scope
from media_service.audit.queries import reading
from media_service.db.audit_entry import Category
from media_service.db.database import Database
from media_service.media.reader import MediaReader
from media_service.sharing.grants import load
from media_service.sharing.groups import load_organization
from media_service.sharing.projects import ProjectService
from media_service.sharing.resources import INSTALLATION

EXPORTED_TOGETHER = 500
KEY: Sequence[type] = (datetime, UUID)

# A page of entries, and a function that returns the token of the page after a given entry.
Page = tuple[list[Entry], Callable[[Entry], str]]


@dataclass(frozen=True, slots=True)
class Period:
    """Which entries to export. None: without a limit, or of all categories."""

    start: datetime | None = None
    end: datetime | None = None
    category: Category | None = None


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

    async def organization_history(
        self,
        principal: Principal,
        organization_id: str,
        category: Category | None,
        page_token: str,
        limit: int,
    ) -> Page:
        """What was done in an organization, newest first. Raises NotFound
        (ORGANIZATION_NOT_FOUND)."""
        condition = await self._of_organization(principal, organization_id)
        query = ("organization access", principal.owner, organization_id, category)
        return await self._page(query, condition, category, page_token, limit)

    async def activity(
        self,
        principal: Principal,
        user_id: str,
        category: Category | None,
        page_token: str,
        limit: int,
    ) -> Page:
        """What a user did, newest first; without `user_id`, the caller. Only administrators see
        that of others. Callers learn nothing about media that they were refused. A claim narrows a
        user to what they did in one organization. Raises NotFound (RESOURCE_NOT_FOUND)."""
        asked = await self._asked(principal, user_id)
        condition = actions_of(principal, asked)
        query = ("activity", principal.owner, user_id, category)
        found, token_after = await self._page(query, condition, category, page_token, limit)
        return shown(principal, asked, found), token_after

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

    async def _asked(self, principal: Principal, user_id: str) -> Owner:
        """The user, whose activity the caller may see."""
        asked = Owner(USER, user_id) if user_id else principal.owner
        if (asked.type, asked.id) == (principal.type, principal.id):
            decided()
        else:
            async with self._database.connection() as db:
                await load(db, principal, INSTALLATION, Role.OWNER)
        return asked

    async def _of_organization(self, principal: Principal, organization_id: str) -> Condition:
        async with self._database.connection() as db:
            await load_organization(db, principal, organization_id)
        return reading.of_organization(organization_id)

    async def export_media(
        self, principal: Principal, media_id: str, period: Period
    ) -> AsyncGenerator[list[Entry], None]:
        """Entries of a media, oldest first, some at a time. Raises NotFound (MEDIA_NOT_FOUND)
        before the first."""
        media = await self._reader.get(principal, media_id)
        async for found in self._export(reading.of_media(media.media_id), period):
            yield found

    async def export_project(
        self, principal: Principal, project_id: str, period: Period
    ) -> AsyncGenerator[list[Entry], None]:
        """The same of a project. Raises NotFound (PROJECT_NOT_FOUND)."""
        project = await self._projects.get(principal, project_id)
        async for found in self._export(reading.of_project(project.project_id), period):
            yield found

    async def export_organization(
        self, principal: Principal, organization_id: str, period: Period
    ) -> AsyncGenerator[list[Entry], None]:
        """The same of an organization. Raises NotFound (ORGANIZATION_NOT_FOUND)."""
        condition = await self._of_organization(principal, organization_id)
        async for found in self._export(condition, period):
            yield found

    async def export_activity(
        self, principal: Principal, user_id: str, period: Period
    ) -> AsyncGenerator[list[Entry], None]:
        """The same of a user, as `activity`. Raises NotFound (RESOURCE_NOT_FOUND)."""
        asked = await self._asked(principal, user_id)
        condition = actions_of(principal, asked)
        async for found in self._export(condition, period):
            yield shown(principal, asked, found)

    async def _export(
        self, condition: Condition, period: Period
    ) -> AsyncGenerator[list[Entry], None]:
        where = [condition]
        if period.category:
            where.append(reading.of_category(period.category))
        if period.end:
            where.append(reading.until(period.end))
        position = reading.since(period.start) if period.start else None
        while True:
            conditions = [*where, position] if position else where
            async with self._database.connection() as db:
                found = await reading.page(db, conditions, reading.OLDEST, EXPORTED_TOGETHER)
            yield found
            if len(found) < EXPORTED_TOGETHER:
                return
            position = reading.after(found[-1].time, found[-1].entry_id)


def actions_of(principal: Principal, asked: Owner) -> Condition:
    """The entries of `asked` that the caller may list. Service accounts act in one organization
    only."""
    if principal.type == USER and principal.org_id:
        return reading.by_caller_in(asked.type, asked.id, principal.org_id)
    return reading.of_caller(asked.type, asked.id)


def shown(principal: Principal, asked: Owner, found: Sequence[Entry]) -> list[Entry]:
    """Administrators see everything of others."""
    own = (asked.type, asked.id) == (principal.type, principal.id)
    return [concealed(entry) if own else entry for entry in found]


def concealed(entry: Entry) -> Entry:
    """Without what only a caller with access to the media may know, if the call was refused."""
    if entry.category != Category.DENIAL:
        return entry
    return replace(entry, filename="", org_id="", project_id="", version=0)
