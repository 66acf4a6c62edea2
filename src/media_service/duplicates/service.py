"""Use cases of duplicates."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from media_service.access.lists import Key, after_sql
from media_service.access.page_tokens import PageTokens
from media_service.access.policy import Condition, authorize, scope
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.collections import queries as collections
from media_service.db.database import Database
from media_service.db.transaction import Connection, Transaction
from media_service.duplicates import queries
from media_service.duplicates.merging import merged_values
from media_service.duplicates.model import Decision, DuplicateGroup, Merged, SimilarMedia
from media_service.errors import InvalidArgument, Reason
from media_service.media import queries as media_queries
from media_service.media.expiry import delete
from media_service.media.model import Media
from media_service.media.reader import not_found
from media_service.media.service import gone, load, policies_of, record_change
from media_service.sharing import queries as sharing
from media_service.sharing.errors import outlasts
from media_service.sharing.resources import Resource

# The media of a group that are listed beside its first one.
MOST_OTHERS = 50
# The collections in which a merge puts the media that is left.
MOST_COLLECTIONS = 1000
KEYS = [Key("create_time", descending=True), Key("media_id", descending=True)]


class DuplicateService:
    """Finds duplicates, remembers decisions about them, and merges them. `purge_after`: how long a
    deleted media can be undeleted."""

    def __init__(self, database: Database, page_tokens: PageTokens, purge_after: timedelta) -> None:
        self._database = database
        self._page_tokens = page_tokens
        self._purge_after = purge_after

    async def similar(self, principal: Principal, media_id: str, limit: int) -> list[SimilarMedia]:
        """The duplicates of a media that the caller may read, the nearest first. Raises NotFound
        (MEDIA_NOT_FOUND)."""
        async with self._database.connection() as db:
            await load(db, principal, media_id)
            found = await queries.similar(db, scope(principal), media_id, limit)
            return await read_similar(db, principal, found)

    async def groups(
        self, principal: Principal, project_id: str, page_token: str, limit: int
    ) -> tuple[list[DuplicateGroup], Callable[[DuplicateGroup], str]]:
        """Groups of duplicates that the caller may read, and a function that returns the token of
        the page after a group."""
        query = ("duplicates", principal.owner, project_id)
        where = []
        if project_id:
            where.append(Condition("m.project_id <> '' and m.project_id = %s", (project_id,)))
        if page_token:
            values = self._page_tokens.open(query, page_token, [datetime, UUID])
            where.append(after_sql("m", KEYS, values))
        async with self._database.connection() as db:
            found = await queries.groups(db, scope(principal), where, KEYS, limit, MOST_OTHERS)
            groups = [await read_group(db, principal, each) for each in found]

        def token(group: DuplicateGroup) -> str:
            return self._page_tokens.seal(query, [getattr(group.media, key.name) for key in KEYS])

        return [group for group in groups if group], token

    async def decide(
        self, principal: Principal, media_id: str, other_ids: Sequence[str], decision: Decision
    ) -> None:
        """Remembers a decision about a media and others. Idempotent. Raises NotFound
        (MEDIA_NOT_FOUND), PermissionDenied (ROLE_REQUIRED), InvalidArgument (INVALID_FIELD)."""
        async with self._database.transaction() as tx:
            await self._locked(tx, principal, [media_id, *other_ids], Role.EDITOR)
            await queries.decide(tx, media_id, other_ids, decision)
            tx.audit(media_id=media_id, details={"decision": decision})

    async def merge(
        self, principal: Principal, media_ids: Sequence[str], keep_id: str, *, validate_only: bool
    ) -> Merged:
        """Merges media into one of them, and deletes the others. Raises NotFound (MEDIA_NOT_FOUND),
        PermissionDenied (ROLE_REQUIRED), FailedPrecondition (MEDIA_DELETED), InvalidArgument
        (INVALID_FIELD, METADATA_NOT_ALLOWED)."""
        async with self._database.transaction() as tx:
            containing = await self._lock_collections(tx, principal, media_ids)
            found = await self._locked(tx, principal, media_ids, Role.MANAGER)
            keep_id = keep_id or await queries.kept_among(tx, media_ids)
            kept = next((m for m in found if m.media_id == keep_id), None) or max(
                found, key=quality
            )
            others = [media for media in found if media is not kept]
            values = merged_values(kept, others)
            if "metadata" in values:
                policies = await policies_of(tx, kept.owner.org_id, kept.project_id)
                policies.check_metadata(values["metadata"])
            other_ids = [media.media_id for media in others]
            if validate_only:
                return Merged(kept, other_ids)
            if values:
                await media_queries.set_fields(tx, kept.media_id, values)
            await self._copy_grants(tx, principal, kept, other_ids)
            for one in await collections.put_beside(tx, containing, other_ids, kept.media_id):
                tx.audit(
                    "collections.update",
                    org_id=one.org_id,
                    project_id=one.project_id,
                    resource_id=f"collection:{one.collection_id}",
                )
            await delete(tx, other_ids, self._purge_after, cause=f"media:{kept.media_id}")
            changed = await load(tx, principal, kept.media_id)
            await record_change(tx, kept, changed)
            tx.audit(media_id=kept.media_id)
            return Merged(changed, other_ids)

    async def _lock_collections(
        self, tx: Transaction, principal: Principal, media_ids: Sequence[str]
    ) -> list[str]:
        """Locks the collections of media that the caller manages: before the media, as calls do
        that add media to a collection."""
        found = await media_queries.get_asked(
            tx, [(media_id, principal) for media_id in media_ids], bare=True
        )
        for media_id, media in zip(media_ids, found, strict=True):
            authorize(media, not_found(media_id), Role.MANAGER)
        containing = await collections.with_any(tx, media_ids, MOST_COLLECTIONS)
        await collections.lock(tx, containing)
        return containing

    async def _copy_grants(
        self, tx: Transaction, principal: Principal, kept: Media, other_ids: Sequence[str]
    ) -> None:
        """Like SetGrant, requires a role that lasts as long as what it gives."""
        resource = Resource("media", kept.media_id)
        await sharing.lock_grants(tx, str(resource))
        if not await queries.have_grants(tx, other_ids):
            return
        lasting = await sharing.lasting_role(tx, resource, principal, None)
        if lasting < Role.MANAGER:
            raise outlasts(Role.MANAGER)
        await queries.copy_grants(tx, kept.media_id, other_ids, principal.grantee, lasting)

    async def _locked(
        self, tx: Transaction, principal: Principal, media_ids: Sequence[str], role: Role
    ) -> list[Media]:
        """The media, locked in the order of their ids, all of one tenant and on which the caller
        has the role."""
        found = {}
        for media_id in sorted(media_ids):
            media = await media_queries.lock(tx, media_id, principal)
            found[media_id] = authorize(media, not_found(media_id), role)
            if found[media_id].delete_time is not None:
                raise gone(media_id)
        tenants = {tenant(media) for media in found.values()}
        if len(tenants) > 1:
            why = "must be of one organization, or of one owner"
            raise InvalidArgument(Reason.INVALID_FIELD, f"The media {why}.", (("media_ids", why),))
        return [found[media_id] for media_id in media_ids]


def tenant(media: Media) -> tuple[str, ...]:
    owner = media.owner
    return (owner.org_id,) if owner.org_id else (owner.type, owner.id)


def quality(media: Media) -> tuple[int, int, float]:
    """The better original has more pixels, then more bytes, then is older."""
    width, height = getattr(media.info, "width", 0), getattr(media.info, "height", 0)
    return width * height, media.size_bytes, -media.create_time.timestamp()


async def read_similar(
    db: Connection, principal: Principal, found: Sequence[tuple[str, int | None]]
) -> list[SimilarMedia]:
    media = await media_queries.get_asked(db, [(media_id, principal) for media_id, _ in found])
    return [
        SimilarMedia(one, distance)
        for one, (_, distance) in zip(media, found, strict=True)
        if one is not None
    ]


async def read_group(
    db: Connection, principal: Principal, found: queries.FoundGroup
) -> DuplicateGroup | None:
    """None if the group has just ended."""
    leader = await media_queries.get(db, found.leader_id, principal)
    others = await read_similar(db, principal, found.others)
    return DuplicateGroup(leader, others, found.keep_id) if leader and others else None
