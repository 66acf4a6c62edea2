"""Use cases of quotas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from media_service.access.policy import authorize, role_required
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database, unavailable
from media_service.db.transaction import Connection, Transaction
from media_service.quotas import queries
from media_service.quotas.ledger import begin, corrected, recalculated
from media_service.quotas.model import Drift, Entry, Limits, Measure, Quota, Usage, is_whole
from media_service.sharing import queries as sharing
from media_service.sharing.errors import resource_not_found
from media_service.sharing.model import Located
from media_service.sharing.recording import name_in_log
from media_service.sharing.resources import INSTALLATION, Resource, parse_resource

KINDS = ("project", "organization", "owner")
USAGE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Recalculated:
    """`drifts`: where the ledger was wrong."""

    quota: Quota
    drifts: Sequence[Drift]


class QuotaService:
    """Reads, sets and recounts quotas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, principal: Principal, account: str) -> Quota:
        """Raises NotFound (RESOURCE_NOT_FOUND)."""
        parsed = parse_account(account)
        async with self._database.connection() as db:
            await load(db, principal, parsed)
            found = await queries.entries(db, parsed)
        if is_whole(found):
            return Quota(str(parsed), found)
        async with self._database.long_connection() as db:
            counted = await queries.count(db, parsed)
        limits = {each: entry.limits for each, entry in found.items()}
        entries = {each: Entry(limits.get(each, Limits()), counted[each]) for each in Measure}
        return Quota(str(parsed), entries)

    async def usage(self, principal: Principal, account: str, days: int) -> Usage:
        """Counts what an account stores. Raises NotFound (RESOURCE_NOT_FOUND)."""
        parsed = parse_account(account)
        async with self._database.connection() as db:
            await load(db, principal, parsed)
        async with self._database.long_connection() as db:
            return await queries.usage(db, parsed, days or USAGE_DAYS)

    async def put(
        self, principal: Principal, account: str, limits: Mapping[Measure, Limits]
    ) -> Quota:
        """Sets the limits of an account, in place of all earlier ones. Raises NotFound
        (RESOURCE_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        parsed = parse_account(account)
        async with self._database.connection() as db:
            await manage(db, principal, parsed)
            whole = is_whole(await queries.entries(db, parsed))
        if whole or all(each == Limits() for each in limits.values()):
            async with self._database.transaction() as tx:
                await queries.lock_account(tx, parsed)
                await self._limit(tx, principal, parsed, limits)
        else:
            await begin(self._database, parsed)
            async with corrected(self._database, parsed) as (tx, _):
                await self._limit(tx, principal, parsed, limits)
        return await self.get(principal, account)

    async def _limit(
        self,
        tx: Transaction,
        principal: Principal,
        account: Resource,
        limits: Mapping[Measure, Limits],
    ) -> None:
        org_id = await manage(tx, principal, account)
        for measure in Measure:
            await queries.limit(tx, account, measure, limits.get(measure, Limits()))
        tx.audit(org_id=org_id, resource_id=await name_in_log(tx, account))
        if all(each == Limits() for each in limits.values()):
            await queries.remove(tx, account)
        elif not is_whole(await queries.entries(tx, account)):
            raise unavailable()  # another call has just removed the quota

    async def recalculate(self, principal: Principal, account: str) -> Recalculated:
        """Counts an account again. Raises NotFound (RESOURCE_NOT_FOUND), PermissionDenied
        (ROLE_REQUIRED)."""
        parsed = parse_account(account)
        async with self._database.connection() as db:
            await manage(db, principal, parsed)
        async with recalculated(self._database, parsed) as (tx, drifts):
            org_id = await manage(tx, principal, parsed)
            tx.audit(org_id=org_id, resource_id=await name_in_log(tx, parsed))
        return Recalculated(await self.get(principal, account), drifts)


def parse_account(text: str) -> Resource:
    """Raises InvalidArgument (INVALID_FIELD)."""
    return parse_resource(text, "account", KINDS)


async def load(
    db: Connection, principal: Principal, account: Resource, minimum: Role | None = None
) -> Located:
    """Returns an account if the caller has the role that the method requires, or `minimum`. Raises
    NotFound (RESOURCE_NOT_FOUND)."""
    located = await sharing.locate(db, account, principal)
    return authorize(located, resource_not_found(str(account)), minimum)


async def manage(db: Connection, principal: Principal, account: Resource) -> str:
    """Returns the organization of an account if the caller manages what contains it: the
    organization of a project or an owner, or else the installation. Raises NotFound
    (RESOURCE_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
    org_id = (await load(db, principal, account, Role.VIEWER)).org_id
    inside = org_id and account.kind != "organization"
    container = Resource("organization", org_id) if inside else INSTALLATION
    minimum = Role.MANAGER if inside else Role.OWNER
    located = await sharing.locate(db, container, principal)
    if located is None or located.role < minimum:
        raise role_required(minimum)
    return org_id
