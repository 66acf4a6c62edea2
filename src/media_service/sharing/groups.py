"""Use cases of groups."""

from datetime import datetime

from media_service.access.policy import authorize, role_required
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.transaction import Connection, Transaction
from media_service.sharing import queries
from media_service.sharing.errors import group_not_found, organization_not_found, outlasts
from media_service.sharing.ids import new_readable_id
from media_service.sharing.model import Group, GroupMember
from media_service.sharing.recording import grantee_in_log
from media_service.sharing.resources import Resource, check_member


class GroupService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, principal: Principal, organization_id: str, display_name: str) -> Group:
        """Raises NotFound (ORGANIZATION_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        group_id = new_readable_id(display_name, "group")
        async with self._database.transaction() as tx:
            await load_organization(tx, principal, organization_id)
            await queries.insert_group(tx, group_id, organization_id, display_name)
            tx.audit(org_id=organization_id, resource_id=f"group:{group_id}")
            return await load(tx, principal, group_id)

    async def delete(self, principal: Principal, group_id: str) -> None:
        """Deletes a group, its members and its grants. Raises NotFound (GROUP_NOT_FOUND),
        PermissionDenied (ROLE_REQUIRED)."""
        async with self._database.transaction() as tx:
            group = await load_to_change(tx, principal, group_id)
            await check_level(tx, group)
            await queries.delete_group(tx, group_id)
            await audit(tx, group)

    async def page(
        self,
        principal: Principal,
        organization_id: str,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Group]:
        """The groups of an organization, newest first. Raises NotFound (ORGANIZATION_NOT_FOUND),
        PermissionDenied (ROLE_REQUIRED)."""
        async with self._database.connection() as db:
            await load_organization(db, principal, organization_id)
            return await queries.group_page(db, principal, organization_id, after, limit)

    async def add(self, principal: Principal, group_id: str, member: str) -> Group:
        """Idempotent. Raises NotFound (GROUP_NOT_FOUND), PermissionDenied (ROLE_REQUIRED),
        InvalidArgument (INVALID_FIELD)."""
        check_member(member)
        async with self._database.transaction() as tx:
            group = await load_to_change(tx, principal, group_id)
            highest = await check_level(tx, group)
            # A member stays, so the caller's role must, too.
            organization = Resource("organization", group.organization_id)
            if await queries.lasting_role(tx, organization, principal, None) < highest:
                raise outlasts(highest)
            await queries.add_member(tx, group_id, member)
            await audit(tx, group, member)
        return group

    async def remove(self, principal: Principal, group_id: str, member: str) -> Group:
        """Idempotent. Raises the errors of `add`."""
        check_member(member)
        async with self._database.transaction() as tx:
            group = await load_to_change(tx, principal, group_id)
            await check_level(tx, group)
            await queries.remove_member(tx, group_id, member)
            await audit(tx, group, member)
        return group

    async def members(
        self, principal: Principal, group_id: str, after: str, limit: int
    ) -> list[GroupMember]:
        """The members of a group, by name. Raises NotFound (GROUP_NOT_FOUND), PermissionDenied
        (ROLE_REQUIRED)."""
        async with self._database.connection() as db:
            await load(db, principal, group_id)
            return await queries.member_page(db, group_id, after, limit)


async def audit(tx: Transaction, group: Group, member: str = "") -> None:
    """`member`: who was added or removed."""
    tx.audit(
        org_id=group.organization_id,
        resource_id=f"group:{group.group_id}",
        details={"member": await grantee_in_log(tx, member)} if member else None,
    )


async def check_level(db: Connection, group: Group) -> Role:
    """Returns the highest role that is granted to a group, which changing its members gives or
    takes away. Raises PermissionDenied (ROLE_REQUIRED) if it is above the caller's."""
    highest = await queries.highest_role(db, f"group:{group.group_id}")
    if highest > group.role:
        raise role_required(highest)
    return highest


async def load(db: Connection, principal: Principal, group_id: str) -> Group:
    """Returns a group if the caller has the role that the method requires on its organization."""
    return authorize(await queries.group(db, group_id, principal), group_not_found(group_id))


async def load_to_change(tx: Transaction, principal: Principal, group_id: str) -> Group:
    """Like `load`, while no other call changes the groups or the grants of the organization."""
    group = await load(tx, principal, group_id)
    await queries.lock_grants(tx, f"organization:{group.organization_id}")
    return await load(tx, principal, group_id)


async def load_organization(db: Connection, principal: Principal, organization_id: str) -> None:
    found = await queries.organization(db, organization_id, principal)
    authorize(found, organization_not_found(organization_id))
