"""Use cases of service accounts and API keys."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from media_service.access.owner import Owner
from media_service.access.policy import authorize, decided, role_required, scope
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.credentials import queries
from media_service.credentials.key_text import new_key, secret_hash
from media_service.credentials.model import SERVICE_ACCOUNT, ApiKey, ServiceAccount
from media_service.db.database import Database
from media_service.db.locks import Lock, lock
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, NotFound, PermissionDenied, Reason
from media_service.idempotency.claiming import claim
from media_service.idempotency.model import RequestKey
from media_service.jobs.periodic import Batches
from media_service.sharing import queries as sharing
from media_service.sharing.errors import organization_not_found, outlasts
from media_service.sharing.resources import Resource

# Of one owner, and of one service account.
MAX_ACCOUNTS = 1000
MAX_KEYS = 100
# How long keys that have ended are listed.
KEPT = timedelta(days=90)
BATCH = 1000


class CredentialsService:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_account(
        self, principal: Principal, display_name: str, key: RequestKey | None
    ) -> ServiceAccount:
        """In the organization that the caller acts for, or without one, of the caller. Raises
        NotFound (ORGANIZATION_NOT_FOUND), PermissionDenied (USER_REQUIRED, ROLE_REQUIRED),
        FailedPrecondition (CREDENTIAL_LIMIT_EXCEEDED), Aborted (IDEMPOTENCY_CONFLICT)."""
        require_user(principal)
        async with self._database.transaction() as tx:
            owner = await owner_of_new(tx, principal)
            account_id, repeated = await claim(tx, key)
            if not repeated:
                await check_accounts(tx, owner)
                await queries.insert_account(tx, account_id, owner, display_name)
                tx.audit(org_id=owner.org_id, resource_id=account_id)
            return await load_account(tx, principal, account_id)

    async def accounts(
        self, principal: Principal, after: tuple[datetime, str] | None, limit: int
    ) -> list[ServiceAccount]:
        """The accounts that the caller manages. Raises PermissionDenied (USER_REQUIRED)."""
        require_user(principal)
        where = scope(principal, Role.MANAGER)
        async with self._database.connection() as db:
            return await queries.account_page(db, where, after, limit)

    async def delete_account(self, principal: Principal, account_id: str) -> ServiceAccount:
        """Ends the keys and the grants of an account as well. Idempotent. Raises NotFound
        (SERVICE_ACCOUNT_NOT_FOUND), PermissionDenied (USER_REQUIRED, ROLE_REQUIRED)."""
        require_user(principal)
        async with self._database.transaction() as tx:
            account = await load_account(tx, principal, account_id)
            if account.delete_time is None:
                await check_level(tx, principal, account)
                await queries.delete_account(tx, account_id)
                tx.audit(org_id=account.owner.org_id, resource_id=account_id)
            return await load_account(tx, principal, account_id)

    async def create_key(
        self,
        principal: Principal,
        account_id: str,
        display_name: str,
        scopes: Sequence[str] | None,
        expire_time: datetime | None,
        key: RequestKey | None,
    ) -> tuple[ApiKey, str]:
        """Returns a key and its text, which is empty if an earlier call with the same `key` created
        it. Raises NotFound (SERVICE_ACCOUNT_NOT_FOUND), PermissionDenied (USER_REQUIRED,
        SCOPE_MISSING, ROLE_REQUIRED), FailedPrecondition (CREDENTIAL_LIMIT_EXCEEDED), Aborted
        (IDEMPOTENCY_CONFLICT)."""
        require_user(principal)
        check_scopes(principal, scopes)
        async with self._database.transaction() as tx:
            account = await load_account(tx, principal, account_id)
            if account.delete_time is not None:
                raise account_not_found(account_id)
            highest = await check_level(tx, principal, account)
            await check_duration(tx, principal, account, highest, expire_time)
            key_id, repeated = await claim(tx, key)
            if repeated:
                return await load_key(tx, principal, key_id), ""
            if await queries.count_keys(tx, account_id) >= MAX_KEYS:
                raise limit_exceeded("The service account has too many API keys.", MAX_KEYS)
            new = new_key()
            await queries.insert_key(
                tx,
                key_id,
                account_id,
                new.prefix,
                secret_hash(new.secret),
                display_name,
                scopes,
                expire_time,
            )
            tx.audit(org_id=account.owner.org_id, resource_id=key_id)
            return await load_key(tx, principal, key_id), new.text

    async def keys(
        self,
        principal: Principal,
        account_id: str | None,
        prefix: str | None,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[ApiKey]:
        """The keys of accounts that the caller manages. Raises PermissionDenied
        (USER_REQUIRED)."""
        require_user(principal)
        where = scope(principal, Role.MANAGER)
        async with self._database.connection() as db:
            return await queries.key_page(db, where, account_id, prefix, after, limit)

    async def revoke(self, principal: Principal, key_id: str) -> ApiKey:
        """Idempotent. Raises NotFound (API_KEY_NOT_FOUND), PermissionDenied (USER_REQUIRED,
        ROLE_REQUIRED)."""
        require_user(principal)
        async with self._database.transaction() as tx:
            key = await load_key(tx, principal, key_id)
            if key.revoke_time is None:
                await check_level(tx, principal, key)
                await queries.revoke_key(tx, key_id)
                tx.audit(org_id=key.owner.org_id, resource_id=key_id)
            return await load_key(tx, principal, key_id)


def require_user(principal: Principal) -> None:
    if principal.type != "user":
        raise PermissionDenied(
            Reason.USER_REQUIRED,
            "A service account cannot manage service accounts and API keys. Call with the token of"
            " a user.",
        )


def check_scopes(principal: Principal, scopes: Collection[str] | None) -> None:
    """A key may not have permissions that the token of its creator lacks."""
    if principal.scopes is None:
        return
    for wanted in ["*"] if scopes is None else scopes:
        if not principal.holds(wanted):
            raise PermissionDenied(
                Reason.SCOPE_MISSING,
                f"The token's scope does not include {wanted}, so a key with it cannot be created."
                " Set `scopes` to permissions that the token has.",
                permission=wanted,
            )


async def owner_of_new(tx: Transaction, principal: Principal) -> Owner:
    """An account in an organization belongs to it, so that it stays under the control of those who
    manage the organization. Raises the errors of `create_account`."""
    org_id = principal.org_id
    if not org_id:
        decided()
        return principal.owner
    located = await sharing.locate(tx, Resource("organization", org_id), principal)
    authorize(located, organization_not_found(org_id), Role.MANAGER)
    return Owner("organization", org_id, org_id)


async def check_accounts(tx: Transaction, owner: Owner) -> None:
    await lock(tx, Lock.SERVICE_ACCOUNTS, owner.org_id, owner.type, owner.id)
    if await queries.count_accounts(tx, owner) >= MAX_ACCOUNTS:
        raise limit_exceeded("There are too many service accounts.", MAX_ACCOUNTS)


async def check_level(
    tx: Transaction, principal: Principal, account: ServiceAccount | ApiKey
) -> Role:
    """Returns the highest role of an account, or of that of a key. Its keys act with all its roles,
    so only a caller with no lower one may create and revoke them, or delete the account. Raises
    PermissionDenied (ROLE_REQUIRED)."""
    acting = Principal(account.service_account_id, account.owner.org_id, type=SERVICE_ACCOUNT)
    highest = await sharing.highest_role_beyond(tx, acting, principal)
    if highest > account.role:
        raise role_required(highest)
    # Its owner may be no administrator.
    on_installation = await sharing.role_on_installation(tx, acting)
    if on_installation > await sharing.role_on_installation(tx, principal):
        raise role_required(on_installation)
    return highest


async def check_duration(
    tx: Transaction,
    principal: Principal,
    account: ServiceAccount,
    highest: Role,
    expire_time: datetime | None,
) -> None:
    """Raises PermissionDenied (ROLE_REQUIRED) if a key of an account would outlast the caller's
    role."""
    lasting = await sharing.lasting_role_for_owner(tx, account.owner, principal, expire_time)
    if lasting < highest:
        raise outlasts(highest)


async def load_account(tx: Transaction, principal: Principal, account_id: str) -> ServiceAccount:
    """Returns an account that the caller manages, and locks it."""
    account = await queries.lock_account(tx, account_id, principal)
    return authorize(account, account_not_found(account_id))


async def load_key(tx: Transaction, principal: Principal, key_id: str) -> ApiKey:
    """Returns a key that the caller manages, and locks it."""
    key = await queries.lock_key(tx, key_id, principal)
    return authorize(key, key_not_found(key_id))


def account_not_found(account_id: str) -> NotFound:
    return NotFound(
        Reason.SERVICE_ACCOUNT_NOT_FOUND,
        "The service account does not exist, or the caller does not manage it.",
        service_account_id=account_id,
    )


def key_not_found(key_id: str) -> NotFound:
    return NotFound(
        Reason.API_KEY_NOT_FOUND,
        "The API key does not exist, or the caller does not manage it.",
        api_key_id=key_id,
    )


def limit_exceeded(what: str, limit: int) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.CREDENTIAL_LIMIT_EXCEEDED,
        f"{what} The limit is {limit}. Delete or revoke some.",
        limit=limit,
    )


async def remove_ended_keys(database: Database) -> Batches:
    while True:
        async with database.connection() as db:
            removed = await queries.remove_ended_keys(db, KEPT, BATCH)
        yield removed
        if removed < BATCH:
            return
