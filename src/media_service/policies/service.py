"""Use cases of policies."""

from dataclasses import dataclass

from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.media.policy import Policy
from media_service.policies.queries import settings as queries
from media_service.sharing import queries as sharing
from media_service.sharing.errors import resource_not_found
from media_service.sharing.model import Located
from media_service.sharing.resources import Resource, parse_resource

KINDS = ("organization", "project")


@dataclass(frozen=True, slots=True)
class ResourcePolicy:
    """`inherited`: of a project, the policy of its organization."""

    resource: Resource
    policy: Policy | None
    inherited: Policy | None


class PolicyService:
    """Reads and sets policies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, principal: Principal, resource: str) -> ResourcePolicy:
        """Raises NotFound (RESOURCE_NOT_FOUND), InvalidArgument (INVALID_FIELD)."""
        parsed = parse_resource(resource, kinds=KINDS)
        async with self._database.connection() as db:
            located = await load(db, principal, parsed)
            return await policy_of(db, parsed, located)

    async def put(self, principal: Principal, resource: str, policy: Policy) -> ResourcePolicy:
        """Sets a policy, or removes it if it is empty. Raises NotFound (RESOURCE_NOT_FOUND),
        PermissionDenied (ROLE_REQUIRED), InvalidArgument (INVALID_FIELD)."""
        parsed = parse_resource(resource, kinds=KINDS)
        async with self._database.transaction() as tx:
            located = await load(tx, principal, parsed)
            if policy == Policy():
                await queries.remove(tx, parsed)
            else:
                await queries.put(tx, parsed, policy)
            project_id = parsed.id if parsed.kind == "project" else ""
            tx.audit(org_id=located.org_id, project_id=project_id, resource_id=str(parsed))
            return await policy_of(tx, parsed, located)


async def load(db: Connection, principal: Principal, resource: Resource) -> Located:
    """Returns a resource if the caller has the role that the method requires. Raises NotFound
    (RESOURCE_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
    located = await sharing.locate(db, resource, principal)
    return authorize(located, resource_not_found(str(resource)))


async def policy_of(db: Connection, resource: Resource, located: Located) -> ResourcePolicy:
    inherited = None
    if resource.kind == "project" and located.org_id:
        inherited = await queries.get(db, Resource("organization", located.org_id))
    return ResourcePolicy(resource, await queries.get(db, resource), inherited)
