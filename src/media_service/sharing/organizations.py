"""Use cases of organizations."""

from media_service.access.policy import authorize, role_required, scope
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.errors import AlreadyExists, Reason
from media_service.sharing import queries
from media_service.sharing.errors import organization_not_empty, organization_not_found
from media_service.sharing.grants import load
from media_service.sharing.model import Organization
from media_service.sharing.resources import INSTALLATION


class OrganizationService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, principal: Principal, organization_id: str, display_name: str, issuer: str
    ) -> Organization:
        """Creates an organization, which only administrators may do. Raises AlreadyExists
        (ORGANIZATION_EXISTS), NotFound (RESOURCE_NOT_FOUND)."""
        async with self._database.transaction() as tx:
            await load(tx, principal, INSTALLATION, Role.OWNER)
            if not await queries.insert_organization(tx, organization_id, display_name, issuer):
                raise AlreadyExists(
                    Reason.ORGANIZATION_EXISTS,
                    "An organization has this id. Choose another one.",
                    organization_id=organization_id,
                )
            tx.audit(org_id=organization_id, resource_id=f"organization:{organization_id}")
            found = await queries.organization(tx, organization_id, principal)
            return authorize(found, organization_not_found(organization_id), Role.OWNER)

    async def update(
        self,
        principal: Principal,
        organization_id: str,
        display_name: str | None,
        issuer: str | None,
    ) -> Organization:
        """Changes what is not None. Raises NotFound (ORGANIZATION_NOT_FOUND), PermissionDenied
        (ROLE_REQUIRED), also if somebody who is no administrator changes the issuer."""
        async with self._database.transaction() as tx:
            found = await load_locked(tx, principal, organization_id)
            if issuer not in {None, found.issuer}:
                await check_administrator(tx, principal)
            await queries.update_organization(tx, organization_id, display_name, issuer)
            tx.audit(org_id=organization_id, resource_id=f"organization:{organization_id}")
            return await load_locked(tx, principal, organization_id)

    async def delete(self, principal: Principal, organization_id: str) -> None:
        """Deletes an empty organization, with its groups, grants and quotas. Raises NotFound
        (ORGANIZATION_NOT_FOUND), PermissionDenied (ROLE_REQUIRED), FailedPrecondition
        (ORGANIZATION_NOT_EMPTY)."""
        async with self._database.transaction() as tx:
            await load_locked(tx, principal, organization_id)
            await queries.lock_grants(tx, f"organization:{organization_id}")
            if not await queries.delete_organization(tx, organization_id):
                raise organization_not_empty(organization_id)
            tx.audit(org_id=organization_id, resource_id=f"organization:{organization_id}")

    async def page(self, principal: Principal, after: str | None, limit: int) -> list[Organization]:
        """The organizations that the caller belongs to, by id; for administrators, all."""
        async with self._database.connection() as db:
            return await queries.organization_page(db, scope(principal), after, limit)


async def check_administrator(db: Connection, principal: Principal) -> None:
    if await queries.role_on_installation(db, principal) < Role.OWNER:
        raise role_required(Role.OWNER)


async def load_locked(db: Connection, principal: Principal, organization_id: str) -> Organization:
    """Returns an organization if the caller has the role that the method requires, and locks it."""
    await queries.lock_organization(db, organization_id)
    found = await queries.organization(db, organization_id, principal)
    return authorize(found, organization_not_found(organization_id))
