"""Use cases of quotas."""

from collections.abc import Mapping
from dataclasses import dataclass

from media_service.access.policy import authorize, role_required
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.transaction import Connection, Transaction
from media_service.errors import InvalidArgument, Reason
from media_service.quotas import queries
from media_service.quotas.model import Amount, Drift, Entry, Limits, Measure, Quota, Usage
from media_service.sharing import queries as sharing
from media_service.sharing.errors import resource_not_found
from media_service.sharing.model import Located
from media_service.sharing.recording import name_in_log
from media_service.sharing.resources import INSTALLATION, Resource, parse_resource

KINDS = {"organization", "project", "owner"}
USAGE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Recalculated:
    """`drifts`: where the ledger was wrong."""

    quota: Quota
    drifts: tuple[Drift, ...]


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
            if len(found) < len(Measure):
                found = completed(found, await queries.count(db, parsed))
        return Quota(str(parsed), found)

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
        async with self._database.transaction() as tx:
            org_id = await manage(tx, principal, parsed)
            # Nothing is charged meanwhile, so what is counted is exact.
            await queries.lock_table(tx)
            counted = await queries.count(tx, parsed)
            if limits:
                for measure in Measure:
                    chosen = limits.get(measure, Limits())
                    await queries.put(tx, parsed, measure, chosen, counted[measure])
            else:
                await queries.remove(tx, parsed)
            found = await queries.entries(tx, parsed)
            tx.audit(org_id=org_id, resource_id=await name_in_log(tx, parsed))
        return Quota(str(parsed), completed(found, counted))

    async def recalculate(self, principal: Principal, account: str) -> Recalculated:
        """Counts an account again. Raises NotFound (RESOURCE_NOT_FOUND), PermissionDenied
        (ROLE_REQUIRED)."""
        parsed = parse_account(account)
        async with self._database.transaction() as tx:
            org_id = await manage(tx, principal, parsed)
            drifts = await recalculate(tx, parsed)
            tx.audit(org_id=org_id, resource_id=await name_in_log(tx, parsed))
        return Recalculated(await self.get(principal, account), drifts)


async def recalculate(tx: Transaction, account: Resource) -> tuple[Drift, ...]:
    """Corrects the ledger of an account that has one. Returns where it was wrong."""
    before = await queries.lock_account(tx, account)
    if not before:
        return ()
    counted = await queries.count(tx, account)
    wrong = [
        measure
        for measure in Measure
        if measure not in before or before[measure].amount != counted[measure]
    ]
    whole = completed(before, dict.fromkeys(Measure, Amount()))
    for measure in wrong:
        await queries.put(tx, account, measure, whole[measure].limits, counted[measure])
    drifts = (Drift(measure, whole[measure].amount, counted[measure]) for measure in wrong)
    return tuple(drift for drift in drifts if drift.ledger != drift.counted)


def completed(
    found: Mapping[Measure, Entry], counted: Mapping[Measure, Amount]
) -> Mapping[Measure, Entry]:
    """The entries of an account, with those that it does not have: all, if it has no quota, and
    the measures that the previous version did not know when it set one."""
    return {each: found.get(each, Entry(Limits(), counted[each])) for each in Measure}


def parse_account(text: str) -> Resource:
    """Raises InvalidArgument (INVALID_FIELD)."""
    parsed = parse_resource(text, "account")
    if parsed.kind not in KINDS:
        why = "must be one of project:ID, organization:ID, owner:ORG/TYPE:ID"
        raise InvalidArgument(Reason.INVALID_FIELD, f"The account {why}.", (("account", why),))
    return parsed


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
