"""Use cases of blocked files."""

from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.policies import queries
from media_service.policies.model import BlockedFile
from media_service.policies.service import load, parse

KINDS = ("service", "organization")


class Blocklist:
    """Blocks files by their SHA-256, in the whole installation or in an organization."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def block(
        self, principal: Principal, resource: str, sha256: bytes, note: str
    ) -> BlockedFile:
        """Blocks a file, or changes its note. Raises NotFound (RESOURCE_NOT_FOUND),
        PermissionDenied (ROLE_REQUIRED), InvalidArgument (INVALID_FIELD)."""
        parsed = parse(resource, KINDS)
        async with self._database.transaction() as tx:
            located = await load(tx, principal, parsed)
            tx.audit(org_id=located.org_id, resource_id=str(parsed))
            return await queries.block(tx, parsed, sha256, note)

    async def unblock(self, principal: Principal, resource: str, sha256: bytes) -> None:
        """Idempotent. Raises the errors of `block`."""
        parsed = parse(resource, KINDS)
        async with self._database.transaction() as tx:
            located = await load(tx, principal, parsed)
            tx.audit(org_id=located.org_id, resource_id=str(parsed))
            await queries.unblock(tx, parsed, sha256)

    async def page(
        self, principal: Principal, resource: str, after: bytes, limit: int
    ) -> list[BlockedFile]:
        """The blocked files, by hash. Raises the errors of `block`."""
        parsed = parse(resource, KINDS)
        async with self._database.connection() as db:
            await load(db, principal, parsed)
            return await queries.blocked_page(db, parsed, after, limit)
