"""Use cases of blocked files."""

from media_service.access.policy import authorize, scope
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.duplicates.model import SimilarMedia
from media_service.duplicates.service import read_similar
from media_service.errors import FailedPrecondition, Reason
from media_service.media import queries as media_queries
from media_service.media.reader import not_found
from media_service.policies.model import BlockedFile, FileHash
from media_service.policies.queries import blocklist as queries
from media_service.policies.service import load
from media_service.sharing.resources import Resource, parse_resource

KINDS = ("service", "organization")
FIRST = "00000000-0000-0000-0000-000000000000"


class Blocklist:
    """Blocks files in the whole installation or in an organization: by their SHA-256, or by the
    perceptual hash of an image, which all that looks nearly the same has."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def block(
        self, principal: Principal, resource: str, blocked: FileHash | str, note: str
    ) -> BlockedFile:
        """Blocks a file, or changes its note. `blocked`: its hash, or the id of an image that looks
        like it. Raises NotFound (RESOURCE_NOT_FOUND, MEDIA_NOT_FOUND), PermissionDenied
        (ROLE_REQUIRED), InvalidArgument (INVALID_FIELD), FailedPrecondition
        (MEDIA_NOT_COMPARABLE)."""
        parsed = parse_resource(resource, kinds=KINDS)
        async with self._database.transaction() as tx:
            located = await load(tx, principal, parsed)
            tx.audit(org_id=located.org_id, resource_id=str(parsed))
            if isinstance(blocked, str):
                hashes = await hashes_of(tx, principal, blocked)
                return await queries.block_image(tx, parsed, hashes, note)
            if blocked.perceptual:
                return await queries.block_image(tx, parsed, [blocked.value], note)
            return await queries.block(tx, parsed, blocked.value, note)

    async def unblock(self, principal: Principal, resource: str, blocked: FileHash) -> None:
        """Idempotent. Raises the errors of `load`."""
        parsed = parse_resource(resource, kinds=KINDS)
        async with self._database.transaction() as tx:
            located = await load(tx, principal, parsed)
            tx.audit(org_id=located.org_id, resource_id=str(parsed))
            await queries.unblock(tx, parsed, blocked)

    async def page(
        self, principal: Principal, resource: str, after: FileHash, limit: int
    ) -> list[BlockedFile]:
        """The blocked files, by hash. Raises the errors of `load`."""
        parsed = parse_resource(resource, kinds=KINDS)
        async with self._database.connection() as db:
            await load(db, principal, parsed)
            return await queries.page(db, parsed, after, limit)

    async def media(
        self, principal: Principal, resource: str, wanted: FileHash, after: str, limit: int
    ) -> tuple[list[SimilarMedia], str | None]:
        """The media that the caller may read and that BlockFile would refuse, by id, and where the
        next page starts if not all were compared. Raises the errors of `load`."""
        parsed = parse_resource(resource, kinds=KINDS)
        async with self._database.connection() as db:
            await load(db, principal, parsed)
            found, until = await find(db, principal, parsed, wanted, after or FIRST, limit)
            return await read_similar(db, principal, found), until


async def find(
    db: Connection,
    principal: Principal,
    resource: Resource,
    wanted: FileHash,
    after: str,
    limit: int,
) -> tuple[list[tuple[str, int | None]], str | None]:
    seen = scope(principal)
    if not wanted.perceptual:
        same = await queries.media_with_bytes(db, seen, resource, wanted.value, after, limit)
        return [(media_id, None) for media_id in same], None
    until = None
    if resource.kind == "service":
        until = await queries.compared_until(db, after)
    like = await queries.media_like(db, seen, resource, wanted.value, after, until, limit)
    return [*like], until


async def hashes_of(db: Connection, principal: Principal, media_id: str) -> list[bytes]:
    """Raises NotFound (MEDIA_NOT_FOUND), FailedPrecondition (MEDIA_NOT_COMPARABLE)."""
    media = await media_queries.get(db, media_id, principal)
    authorize(media, not_found(media_id), Role.VIEWER)
    hashes = await queries.hashes_of(db, media_id)
    if not hashes:
        raise FailedPrecondition(
            Reason.MEDIA_NOT_COMPARABLE,
            "The media has no perceptual hash: it is no image, is not READY, or has too little in"
            " it. Block its SHA-256.",
            media_id=media_id,
        )
    return hashes
