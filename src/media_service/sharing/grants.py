"""Use cases of grants."""

from datetime import datetime

from media_service.access.policy import authorize, decided, role_required
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.clock import now
from media_service.db.database import Database
from media_service.db.transaction import Connection, Transaction
from media_service.errors import InvalidArgument, Reason
from media_service.jobs.periodic import Batches
from media_service.sharing import queries
from media_service.sharing.errors import grantee_not_allowed, outlasts, resource_not_found
from media_service.sharing.model import Grant, Located
from media_service.sharing.recording import grantee_in_log, name_in_log
from media_service.sharing.resources import (
    EVERYBODY,
    Resource,
    check_grantee,
    parse_resource,
)

BATCH = 1000
PEOPLE = {"user", "service_account"}


class GrantService:
    """Grants roles, and takes them back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def role(self, principal: Principal, resource: str) -> Role:
        """The caller's role on a resource. Raises NotFound (RESOURCE_NOT_FOUND)."""
        async with self._database.connection() as db:
            return (await load(db, principal, parse_resource(resource))).role

    async def put(
        self,
        principal: Principal,
        resource: str,
        grantee: str,
        role: Role,
        expire_time: datetime | None,
    ) -> Grant:
        """Grants a role, or changes it. A caller cannot grant more than their own role, nor for
        longer, nor change the grant of somebody with more. Raises NotFound (RESOURCE_NOT_FOUND),
        PermissionDenied (ROLE_REQUIRED), FailedPrecondition (GRANTEE_NOT_ALLOWED), InvalidArgument
        (INVALID_FIELD).
        """
        parsed = parse_resource(resource)
        check_grantee(grantee)
        if role is Role.NONE and parsed.kind != "organization":
            raise invalid("role", "must be set, except for members of an organization")
        if expire_time is not None and expire_time <= now():
            raise invalid("expire_time", "must be in the future")
        async with self._database.transaction() as tx:
            await queries.lock_grants(tx, str(parsed))
            located = await load(tx, principal, parsed)
            await check_level(tx, located.role, parsed, grantee, role)
            await check_duration(tx, principal, parsed, role, expire_time)
            await check_allowed(tx, principal, parsed, located.org_id, grantee, role)
            new = Grant(str(parsed), grantee, role, expire_time, created_by=principal.grantee)
            await audit(tx, parsed, located.org_id, new)
            return await queries.put_grant(tx, new)

    async def delete(self, principal: Principal, resource: str, grantee: str) -> None:
        """Takes a grant back. Idempotent. Everybody may give up their own. Raises NotFound
        (RESOURCE_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        parsed = parse_resource(resource)
        check_grantee(grantee)
        async with self._database.transaction() as tx:
            await queries.lock_grants(tx, str(parsed))
            located = await own_grant(tx, principal, parsed, grantee)
            if located is None:
                minimum = Role.VIEWER if grantee == principal.grantee else None
                located = await load(tx, principal, parsed, minimum)
                await check_level(tx, located.role, parsed, grantee, Role.NONE)
            removed = await queries.grant(tx, str(parsed), grantee)
            await queries.delete_grant(tx, str(parsed), grantee)
            await audit(tx, parsed, located.org_id, removed)

    async def page(
        self, principal: Principal, resource: str, after: str, limit: int
    ) -> list[Grant]:
        """The valid grants on a resource, by grantee. Raises NotFound (RESOURCE_NOT_FOUND),
        PermissionDenied (ROLE_REQUIRED)."""
        parsed = parse_resource(resource)
        async with self._database.connection() as db:
            await load(db, principal, parsed)
            return await queries.grant_page(db, str(parsed), after, limit)


async def audit(tx: Transaction, resource: Resource, org_id: str, changed: Grant | None) -> None:
    """`changed`: the new grant, or the one that was removed, if there was one."""
    tx.audit(
        org_id=org_id,
        media_id=resource.id if resource.kind == "media" else "",
        project_id=resource.id if resource.kind == "project" else "",
        resource_id=await name_in_log(tx, resource),
        details=await details(tx, changed) if changed else None,
    )


async def details(tx: Transaction, grant: Grant) -> dict[str, str]:
    expires = {"expire_time": grant.expire_time.isoformat()} if grant.expire_time else {}
    return {
        "grantee": await grantee_in_log(tx, grant.grantee),
        "role": grant.role.name,
        **expires,
    }


async def load(
    db: Connection, principal: Principal, resource: Resource, minimum: Role | None = None
) -> Located:
    """Returns a resource if the caller has the role that the method requires, or `minimum`. Raises
    NotFound (RESOURCE_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
    located = await queries.locate(db, resource, principal)
    return authorize(located, resource_not_found(str(resource)), minimum)


async def own_grant(
    tx: Transaction, principal: Principal, resource: Resource, grantee: str
) -> Located | None:
    """Returns the resource if this is a grant of the caller. No role is needed to give it up: that
    of a member of an organization has none. A claim narrows the caller here, too."""
    if grantee != principal.grantee or await queries.grant(tx, str(resource), grantee) is None:
        return None
    located = await queries.locate(tx, resource, principal)
    if located is None or principal.org_id not in {"", located.org_id}:
        return None
    decided()
    return located


async def check_duration(
    tx: Transaction,
    principal: Principal,
    resource: Resource,
    role: Role,
    expire_time: datetime | None,
) -> None:
    """Raises PermissionDenied (ROLE_REQUIRED) if the grant would outlast the caller's own role."""
    needed = max(role, Role.VIEWER)
    if await queries.lasting_role(tx, resource, principal, expire_time) < needed:
        raise outlasts(needed)


async def check_level(
    tx: Transaction, own: Role, resource: Resource, grantee: str, wanted: Role
) -> None:
    """Raises PermissionDenied (ROLE_REQUIRED) if the caller's own role is below the wanted one, or
    below the one that the grantee has. A member of an organization without their grant on it loses
    what their groups have, so that role counts, too."""
    before = await queries.grant(tx, str(resource), grantee)
    highest = max(wanted, before.role) if before else wanted
    kind, _, grantee_id = grantee.partition(":")
    if before and resource.kind == "organization" and kind in PEOPLE:
        located = await queries.locate(tx, resource, Principal(grantee_id, type=kind))
        highest = max(highest, located.role) if located else highest
    if highest > own:
        raise role_required(highest)


async def check_allowed(
    tx: Transaction,
    principal: Principal,
    resource: Resource,
    org_id: str,
    grantee: str,
    role: Role,
) -> None:
    """Raises FailedPrecondition (GRANTEE_NOT_ALLOWED). No grant crosses the boundary of an
    organization: groups, projects and organizations must be in that of the resource. A project on
    which the caller has no role is refused like one that does not exist."""
    kind, _, grantee_id = grantee.partition(":")
    if kind in PEOPLE:
        return
    if resource.kind == "service" or role is Role.NONE:
        raise grantee_not_allowed("must be a user or a service account", grantee)
    if grantee == EVERYBODY:
        if resource.kind not in {"media", "project", "collection"}:
            why = "everybody can only have media, projects and collections"
            raise grantee_not_allowed(why, grantee)
    elif await organization_of(tx, principal, kind, grantee_id) != org_id:
        raise grantee_not_allowed(
            "does not exist, or is not in the organization of the resource", grantee
        )


async def organization_of(
    tx: Transaction, principal: Principal, kind: str, grantee_id: str
) -> str | None:
    """The organization of a grantee; '' for a project without one. None if there is no such
    grantee, or the caller may not see it."""
    if kind == "project":
        project = await queries.project(tx, grantee_id, principal)
        return project.owner.org_id if project and project.role else None
    return await queries.grantee_organization(tx, kind, grantee_id)


def invalid(field: str, why: str) -> InvalidArgument:
    return InvalidArgument(Reason.INVALID_FIELD, f"The {field} {why}.", ((field, why),))


async def remove_expired_grants(database: Database) -> Batches:
    while True:
        async with database.connection() as db:
            removed = await queries.delete_expired_grants(db, BATCH)
        yield removed
        if removed < BATCH:
            return
