"""Use cases of projects."""

from datetime import datetime

from media_service.access.owner import Owner
from media_service.access.policy import authorize, scope
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.sharing import queries
from media_service.sharing.creation import Creation, Destination
from media_service.sharing.errors import project_not_found
from media_service.sharing.ids import new_readable_id
from media_service.sharing.model import Grant, Project


class ProjectService:
    def __init__(self, database: Database, creation: Creation) -> None:
        self._database = database
        self._creation = creation

    async def create(self, principal: Principal, display_name: str, owner: Owner | None) -> Project:
        """Creates a project, of which the caller becomes OWNER. Raises PermissionDenied
        (OWNER_NOT_ALLOWED)."""
        owner = await self._creation.owner(principal, Destination(owner))
        project_id = new_readable_id(display_name, "project")
        async with self._database.transaction() as tx:
            await queries.insert_project(tx, project_id, owner, display_name)
            name = principal.grantee
            grant = Grant(f"project:{project_id}", name, Role.OWNER, created_by=name)
            await queries.put_grant(tx, grant)
            tx.audit(
                org_id=owner.org_id, project_id=project_id, resource_id=f"project:{project_id}"
            )
            created = await queries.project(tx, project_id, principal)
        return authorize(created, project_not_found(project_id))

    async def get(self, principal: Principal, project_id: str) -> Project:
        """Raises NotFound (PROJECT_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        async with self._database.connection() as db:
            found = await queries.project(db, project_id, principal)
        return authorize(found, project_not_found(project_id))

    async def page(
        self,
        principal: Principal,
        organization_id: str | None,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Project]:
        """The projects that the caller may see, newest first; of one organization, or of all."""
        async with self._database.connection() as db:
            return await queries.project_page(db, scope(principal), organization_id, after, limit)
