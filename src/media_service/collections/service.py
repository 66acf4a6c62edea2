"""Use cases of collections."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from media_service.access.lists import after_sql
from media_service.access.owner import Owner
from media_service.access.page_tokens import PageTokens
from media_service.access.policy import Condition, authorize, scope
from media_service.access.principal import LINK, Principal
from media_service.access.queries import MAX_NESTED
from media_service.access.role import Role
from media_service.collections import errors, queries
from media_service.collections.model import Collection, Member, NewCollection
from media_service.db.database import Database
from media_service.db.transaction import Connection, Transaction
from media_service.errors import Aborted, InvalidArgument, Reason
from media_service.events.model import Followed
from media_service.events.service import Following
from media_service.ids import new_id
from media_service.media import queries as media_queries
from media_service.media.filter import fail, parse
from media_service.media.model import Listed, Media
from media_service.media.paging import parse_order, types_of
from media_service.media.reader import not_found
from media_service.media.selection import select
from media_service.sharing.creation import (
    Creation,
    Destination,
    check_lasting_owner,
    check_owner,
    check_project,
)
from media_service.sharing.recording import owner_in_log
from media_service.sharing.resources import Resource

MAX_MEDIA = 10_000
NEWEST = parse_order("")
CHANGEABLE = ("title", "description", "cover_media_id", "filter", "parent_id")


class CollectionService:
    def __init__(self, database: Database, creation: Creation, page_tokens: PageTokens) -> None:
        self._database = database
        self._creation = creation
        self._page_tokens = page_tokens

    async def create(
        self,
        principal: Principal,
        *,
        title: str,
        description: str,
        filter_text: str,
        parent_id: str,
        project_id: str,
        owner: Owner | None,
    ) -> Collection:
        """Raises NotFound (COLLECTION_NOT_FOUND, PROJECT_NOT_FOUND), FailedPrecondition
        (COLLECTION_TOO_DEEP), PermissionDenied (OWNER_NOT_ALLOWED, ROLE_REQUIRED), InvalidArgument
        (INVALID_FILTER)."""
        parse(filter_text)
        collection_id = new_id()
        if not parent_id:
            placed = await self._creation.place(principal, Destination(owner, project_id))
            owner = placed.owner
        async with self._database.transaction() as tx:
            path: Sequence[str] = ()
            if parent_id:
                await queries.lock(tx, [parent_id])
                parent = await load(tx, principal, parent_id, Role.EDITOR)
                owner, project_id, path = parent.owner, parent.project_id, parent.path
            if len(path) >= MAX_NESTED:
                raise errors.too_deep(MAX_NESTED)
            await check_filter(tx, principal, filter_text)
            assert owner  # noqa: S101 - that of the place or of the parent
            new = NewCollection(
                collection_id, owner, project_id, path, title, description, filter_text
            )
            await queries.insert(tx, new)
            created = await load(tx, principal, collection_id, Role.VIEWER)
            record(tx, created)
        return created

    async def get(self, principal: Principal, collection_id: str) -> Collection:
        async with self._database.connection() as db:
            return await load(db, principal, collection_id)

    async def tree(self, principal: Principal, collection_id: str, limit: int) -> list[Collection]:
        """A collection, and then those in it by depth and age: at most `limit` in all. Grants
        apply inwards, so the caller may see all of them."""
        async with self._database.connection() as db:
            found = await queries.tree(db, principal, collection_id, limit)
        missing = errors.collection_not_found(collection_id)
        authorize(found[0] if found else None, missing, Role.VIEWER)
        return found

    async def page(
        self,
        principal: Principal,
        *,
        parent_id: str,
        project_id: str,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Collection]:
        """The collections on which the caller has a role, newest first."""
        async with self._database.connection() as db:
            return await queries.page(
                db,
                principal,
                parent_id=parent_id,
                project_id=project_id,
                after=after,
                limit=limit,
            )

    async def update(
        self, principal: Principal, collection_id: str, values: Mapping[str, Any], etag: str
    ) -> Collection:
        """Changes some of the fields `CHANGEABLE`. Raises Aborted (ETAG_MISMATCH), NotFound
        (MEDIA_NOT_FOUND, COLLECTION_NOT_FOUND), FailedPrecondition (COLLECTION_KIND,
        COLLECTION_CYCLE, COLLECTION_TOO_DEEP), PermissionDenied (ROLE_REQUIRED)."""
        async with self._database.transaction() as tx:
            before = await load_locked(tx, principal, collection_id, values.get("parent_id", ""))
            check_etag(before, etag)
            changes = {name: new for name, new in values.items() if new != getattr(before, name)}
            if not changes:
                return before
            if "filter" in changes:
                await check_filter(tx, principal, changes["filter"])
                if not (before.filter and changes["filter"]):
                    raise errors.wrong_kind(collection_id, smart=bool(before.filter))
            if cover := changes.get("cover_media_id"):
                found = await media_queries.get(tx, cover, principal)
                authorize(found, not_found(cover), Role.VIEWER)
            if "parent_id" in changes:
                await move(tx, principal, before, changes.pop("parent_id"))
            if changes:
                changes = {n: v or None if n == "cover_media_id" else v for n, v in changes.items()}
                await queries.set_fields(tx, collection_id, changes)
            changed = await load(tx, principal, collection_id)
            record(tx, changed)
        return changed

    async def transfer(
        self,
        principal: Principal,
        collection_id: str,
        owner: Owner | None,
        project_id: str | None,
    ) -> Collection:
        """Gives a collection, with all in it, to another owner or project. None: the one that it
        has. Its media stay where they are. Raises NotFound (COLLECTION_NOT_FOUND,
        PROJECT_NOT_FOUND), PermissionDenied (ROLE_REQUIRED, OWNER_NOT_ALLOWED), FailedPrecondition
        (COLLECTION_NESTED)."""
        async with self._database.transaction() as tx:
            before = await load_locked(tx, principal, collection_id)
            await check_lasting_owner(tx, principal, Resource("collection", collection_id))
            if len(before.path) > 1:
                raise errors.nested(collection_id)
            org_id = before.owner.org_id
            if owner is not None:
                await check_owner(tx, principal, owner, org_id)
            if project_id:
                await check_project(tx, principal, project_id, org_id)
            project = before.project_id if project_id is None else project_id
            await queries.transfer(tx, collection_id, owner or before.owner, project)
            tx.audit(
                org_id=org_id,
                project_id=project,
                resource_id=f"collection:{collection_id}",
                details={"owner": await owner_in_log(tx, owner)} if owner else None,
            )
            moved = await queries.get(tx, collection_id, principal)
        assert moved  # noqa: S101 - it is locked
        return moved

    async def delete(self, principal: Principal, collection_id: str) -> None:
        """Raises FailedPrecondition (COLLECTION_NOT_EMPTY)."""
        async with self._database.transaction() as tx:
            found = await load_locked(tx, principal, collection_id)
            if await queries.has_children(tx, collection_id):
                raise errors.not_empty(collection_id)
            await queries.remove(tx, [collection_id])
            record(tx, found)

    async def add(
        self,
        principal: Principal,
        collection_id: str,
        media_ids: Sequence[str],
        before_media_id: str,
    ) -> Collection:
        """Puts media into a collection. Those that the caller could share by a grant are shared
        with all who have a role on the collection. Raises NotFound (MEDIA_NOT_FOUND),
        FailedPrecondition (COLLECTION_KIND, COLLECTION_FULL)."""
        async with self._database.transaction() as tx:
            found = await load_locked(tx, principal, collection_id)
            if found.filter:
                raise errors.wrong_kind(collection_id, smart=True)
            if await queries.count_with(tx, collection_id, media_ids) > MAX_MEDIA:
                raise errors.full(MAX_MEDIA)
            asked = [(media_id, principal) for media_id in media_ids]
            loaded = await media_queries.get_asked(tx, asked, bare=True)
            members = [
                member(found, authorize(media, not_found(media_id), Role.VIEWER))
                for media_id, media in zip(media_ids, loaded, strict=True)
            ]
            await queries.put(tx, collection_id, members, before_media_id)
            await queries.set_fields(tx, collection_id, {})
            record(tx, found, action="collections.update")
            for each in members:
                record(tx, found, media_id=each.media_id)
            return await load(tx, principal, collection_id)

    async def remove(
        self, principal: Principal, collection_id: str, media_ids: Sequence[str]
    ) -> Collection:
        async with self._database.transaction() as tx:
            found = await load_locked(tx, principal, collection_id)
            if not await queries.take_out(tx, collection_id, media_ids):
                return found
            await queries.set_fields(tx, collection_id, {})
            record(tx, found)
            return await load(tx, principal, collection_id)

    def following(self, principal: Principal, collection_id: str) -> Following:
        """What a watch of a collection follows: the collection, and those of its media that the
        caller may see. It raises NotFound (COLLECTION_NOT_FOUND) once they have no role on it."""

        async def current(db: Connection) -> Followed:
            collection = await load(db, principal, collection_id, Role.VIEWER)
            if collection.filter:
                may, selects = await select(db, principal, collection.filter)
                return queries.followed_smart(collection_id, may, selects)
            return queries.followed(collection_id, scope(principal))

        return current

    async def media(
        self, principal: Principal, collection_id: str, page_token: str, limit: int
    ) -> tuple[list[Listed], Callable[[Listed], str]]:
        """The media of a collection that the caller may see, and a function that returns the token
        of the page after a given media."""
        async with self._database.connection() as db:
            collection = await load(db, principal, collection_id)
            query = ("collection_media", principal.owner, collection_id, collection.filter)
            find = smart_page if collection.filter else member_page
            keys = types_of(NEWEST) if collection.filter else [int, UUID]
            after = self._page_tokens.open(query, page_token, keys) if page_token else None
            found = await find(db, principal, collection, after, limit)
        return found, lambda listed: self._page_tokens.seal(query, listed.key)


async def check_filter(db: Connection, principal: Principal, filter_text: str) -> None:
    """Raises InvalidArgument (INVALID_FILTER). Smart collections do not select from each other, so
    none selects from itself."""
    parsed = parse(filter_text)
    named = sorted(parsed.named.collections) if parsed else []
    if await media_queries.smart_filters(db, principal, named):
        raise fail("a smart collection cannot select from another smart one")


async def smart_page(
    db: Connection,
    principal: Principal,
    collection: Collection,
    after: Sequence[Any] | None,
    limit: int,
) -> list[Listed]:
    if principal.type == LINK:  # it shares no media of smart collections
        return []
    may, where = await select(db, principal, collection.filter)
    where.append(Condition("m.delete_time is null", ()))
    if after:
        where.append(after_sql("m", NEWEST, after))
    return await media_queries.page(db, may, where, NEWEST, limit)


async def member_page(
    db: Connection,
    principal: Principal,
    collection: Collection,
    after: Sequence[Any] | None,
    limit: int,
) -> list[Listed]:
    return await queries.member_page(db, principal, collection.collection_id, after, limit)


def member(collection: Collection, media: Media) -> Member:
    """No collection shares media across the boundary of an organization."""
    same = media.owner.org_id == collection.owner.org_id
    return Member(media.media_id, same and media.role >= Role.MANAGER)


async def load(
    db: Connection, principal: Principal, collection_id: str, minimum: Role | None = None
) -> Collection:
    """Returns a collection if the caller has the role that the method requires, or `minimum`.
    Raises NotFound (COLLECTION_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
    found = await queries.get(db, collection_id, principal)
    return authorize(found, errors.collection_not_found(collection_id), minimum)


async def load_locked(
    tx: Transaction, principal: Principal, collection_id: str, *others: str
) -> Collection:
    """Like `load`. Locks it, and the others with all around them, so that no two moves make a
    cycle together."""
    ids = {collection_id}
    for other in filter(None, others):
        found = await queries.get(tx, other, principal)
        ids.update(found.path if found else ())
    await queries.lock(tx, sorted(ids))
    return await load(tx, principal, collection_id)


async def move(tx: Transaction, principal: Principal, before: Collection, parent_id: str) -> None:
    """Moves a collection into another one, which is locked; empty: into none."""
    own_id = before.collection_id
    authorize(before, errors.collection_not_found(own_id), Role.MANAGER)
    path: Sequence[str] = ()
    if parent_id:
        parent = await load(tx, principal, parent_id, Role.EDITOR)
        if (parent.owner, parent.project_id) != (before.owner, before.project_id):
            why = "must be of the same owner and project"
            raise InvalidArgument(
                Reason.INVALID_FIELD, f"The parent {why}.", (("collection.parent_id", why),)
            )
        path = parent.path
    if own_id in path:
        raise errors.cycle(own_id)
    if len(path) + await queries.height(tx, before) > MAX_NESTED:
        raise errors.too_deep(MAX_NESTED)
    await queries.reparent(tx, before, path)


def check_etag(collection: Collection, etag: str) -> None:
    if etag and etag not in {"*", collection.etag, collection.etag.strip('"')}:
        raise Aborted(
            Reason.ETAG_MISMATCH,
            "The collection has changed since you read it. Read it again.",
            etag=collection.etag,
        )


def record(
    tx: Transaction, collection: Collection, *, action: str = "", media_id: str = ""
) -> None:
    """Records a change in the audit log."""
    tx.audit(
        action,
        media_id=media_id,
        org_id=collection.owner.org_id,
        project_id=collection.project_id,
        resource_id=f"collection:{collection.collection_id}",
    )
