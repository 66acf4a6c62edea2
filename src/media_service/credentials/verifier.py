"""Turns API keys into principals.

Nothing is cached: each call reads the state of its key, and concurrent calls share a statement. So
a key that was revoked has no effect on any later call, on any server.
"""

import hmac
from collections.abc import Sequence

from cachetools import LRUCache

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.credentials import queries
from media_service.credentials.key_text import MARK, parse_key
from media_service.credentials.last_use import PAUSE, LastUse
from media_service.credentials.model import SERVICE_ACCOUNT, KeyState, ServiceAccount
from media_service.db.batcher import Batcher
from media_service.db.database import Database
from media_service.errors import Reason, Unauthenticated

MAX_REMEMBERED = 10_000


def invalid() -> Unauthenticated:
    """The same error for every fault, so that it reveals nothing about other keys."""
    return Unauthenticated(
        Reason.TOKEN_INVALID,
        "The API key or its service account does not exist, or was revoked. Create another one.",
    )


def name_of(owner: Owner) -> str:
    return f"{owner.type}:{owner.id}"


class KeyVerifier:
    def __init__(self, database: Database, last_use: LastUse) -> None:
        self._database = database
        self._last_use = last_use
        self._read = Batcher(self._read_many)
        self._account = Batcher(self._read_accounts)
        self._check = Batcher(self._check_many)
        # The hashes of the secrets that passed, by the prefixes of their keys.
        self._passed: LRUCache[str, bytes] = LRUCache(MAX_REMEMBERED)

    @staticmethod
    def accepts(text: str) -> bool:
        """Whether a text claims to be an API key. No token begins like one."""
        return text.startswith(MARK)

    def remembers(self, text: str) -> bool:
        """Whether a key passed before. It may have been revoked since."""
        parsed = parse_key(text)
        return parsed is not None and self._passed.get(parsed[0]) == parsed[1]

    async def verify(self, text: str) -> Principal:
        """Raises Unauthenticated (TOKEN_INVALID, TOKEN_EXPIRED)."""
        parsed = parse_key(text)
        if parsed is None:
            raise invalid()
        prefix, secret_hash = parsed
        state = await self._read(prefix)
        known = state is not None and hmac.compare_digest(state.secret_hash, secret_hash)
        if state is None or not known or not state.active:
            raise invalid()
        self._passed[prefix] = secret_hash
        if state.expired:
            raise Unauthenticated(
                Reason.TOKEN_EXPIRED, "The API key has expired. Create another one."
            )
        if state.use_due:
            self._last_use.add(state.api_key_id)
        return Principal(
            subject=state.service_account_id,
            org_id=state.owner.org_id,
            scopes=state.scopes,
            type=SERVICE_ACCOUNT,
            api_key_id=state.api_key_id,
            account=name_of(state.owner),
        )

    async def account(self, service_account_id: str) -> Principal:
        """A service account that has been authenticated otherwise. Raises Unauthenticated
        (TOKEN_INVALID) if it does not exist."""
        account = await self._account(service_account_id)
        if account is None or account.delete_time is not None:
            raise Unauthenticated(
                Reason.TOKEN_INVALID,
                "The service account of the client certificate does not exist.",
            )
        return Principal(
            subject=service_account_id,
            org_id=account.owner.org_id,
            type=SERVICE_ACCOUNT,
            account=name_of(account.owner),
        )

    async def check(self, principal: Principal) -> None:
        """Raises Unauthenticated (TOKEN_INVALID) if a verified caller is a service account that was
        deleted since, or its key has ended."""
        if principal.type == SERVICE_ACCOUNT:
            caller = (principal.subject, principal.api_key_id or None)
            if not await self._check(caller):
                raise invalid()

    async def _read_many(self, prefixes: Sequence[str]) -> list[KeyState | None]:
        async with self._database.connection() as db:
            found = await queries.key_states(db, prefixes, PAUSE)
        return [found.get(prefix) for prefix in prefixes]

    async def _read_accounts(self, account_ids: Sequence[str]) -> list[ServiceAccount | None]:
        async with self._database.connection() as db:
            found = await queries.accounts(db, account_ids)
        return [found.get(account_id) for account_id in account_ids]

    async def _check_many(self, callers: Sequence[tuple[str, str | None]]) -> list[bool]:
        async with self._database.connection() as db:
            usable = await queries.usable(db, callers)
        return [caller in usable for caller in callers]
