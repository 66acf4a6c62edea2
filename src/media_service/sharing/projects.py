"""Use cases of projects."""

from datetime import datetime

from media_service.access.owner import Owner
from media_service.access.policy import authorize, scope
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.sharing import queries
from media_service.sharing.creation import (
    Creation,
    Destination,
    check_lasting_owner,
    check_owner,
)
from media_service.sharing.errors import project_not_empty, project_not_found
from media_service.sharing.grants import PEOPLE
from media_service.sharing.ids import new_readable_id
from media_service.sharing.model import Grant, Project
from media_service.sharing.recording import owner_in_log
from media_service.sharing.resources import Resource


class ProjectService:
    def __init__(self, database: Database, creation: Creation) -> None:
        self._database = database
        self._creation = creation

    async def create(self, principal: Principal, display_name: str, owner: Owner | None) -> Project:
        """Creates a project, of which the caller becomes OWNER. Raises PermissionDenied
        (OWNER_NOT_ALLOWED)."""
        owner = (await self._creation.place(principal, Destination(owner))).owner
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

    async def rename(self, principal: Principal, project_id: str, display_name: str) -> Project:
        """Raises NotFound (PROJECT_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        async with self._database.transaction() as tx:
            project = await load(tx, principal, project_id)
            await queries.rename_project(tx, project_id, display_name)
            tx.audit(org_id=project.owner.org_id, project_id=project_id)
            return await load(tx, principal, project_id)

    async def transfer(self, principal: Principal, project_id: str, owner: Owner) -> Project:
        """Gives a project to another owner in the same organization. Raises NotFound
        (PROJECT_NOT_FOUND), PermissionDenied (ROLE_REQUIRED, OWNER_NOT_ALLOWED)."""
        async with self._database.transaction() as tx:
            project = await load(tx, principal, project_id)
            before = project.owner
            await queries.lock_grants(tx, f"project:{project_id}")
            await check_lasting_owner(tx, principal, Resource("project", project_id))
            await check_owner(tx, principal, owner, before.org_id)
            await queries.set_project_owner(tx, project_id, owner)
            resource = f"project:{project_id}"
            await queries.delete_grant(tx, resource, f"{before.type}:{before.id}")
            # Outside of organizations, nobody else would be OWNER of the project of an event.
            if owner.type in PEOPLE or not owner.org_id:
                person = f"{owner.type}:{owner.id}"
                grantee = person if owner.type in PEOPLE else principal.grantee
                new = Grant(resource, grantee, Role.OWNER, created_by=principal.grantee)
                await queries.put_grant(tx, new)
            new_owner = {"owner": await owner_in_log(tx, owner)}
            tx.audit(org_id=owner.org_id, project_id=project_id, details=new_owner)
            changed = await queries.project(tx, project_id, principal)
        assert changed  # noqa: S101 - it is locked
        return changed

    async def delete(self, principal: Principal, project_id: str) -> None:
        """Deletes an empty project, with the grants on it and to its members. Raises NotFound
        (PROJECT_NOT_FOUND), PermissionDenied (ROLE_REQUIRED), FailedPrecondition
        (PROJECT_NOT_EMPTY)."""
        async with self._database.transaction() as tx:
            project = await load(tx, principal, project_id)
            if not await queries.delete_project(tx, project_id):
                raise project_not_empty(project_id)
            tx.audit(org_id=project.owner.org_id, project_id=project_id)

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


async def load(db: Connection, principal: Principal, project_id: str) -> Project:
    """Returns a project if the caller has the role that the method requires, and locks it."""
    project = await queries.lock_project(db, project_id, principal)
    return authorize(project, project_not_found(project_id))
