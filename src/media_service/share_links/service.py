"""Use cases of those who share by links."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from media_service.access.owner import Owner
from media_service.access.policy import authorize, role_required, scope
from media_service.access.principal import LinkMode, Principal
from media_service.access.role import Role
from media_service.clock import now
from media_service.db.database import Database
from media_service.db.locks import Lock, lock
from media_service.db.transaction import Connection, Transaction
from media_service.ids import new_id
from media_service.jobs.periodic import Batches
from media_service.share_links import queries
from media_service.share_links.errors import invalid, share_link_not_found, too_many_links
from media_service.share_links.model import NewLink, ShareLink
from media_service.share_links.passwords import Passwords
from media_service.share_links.secret_text import new_secret, secret_hash
from media_service.sharing import queries as sharing
from media_service.sharing.errors import resource_not_found
from media_service.sharing.resources import Resource, parse_resource
from media_service.update_mask import check_changeable

# How long links that have ended are listed, and attempts with a password are kept.
KEPT = timedelta(days=90)
ATTEMPTS_KEPT = timedelta(days=1)
BATCH = 1000
# Links of a creator in one organization that have neither expired nor been revoked.
MAX_ACTIVE = 10_000
CHANGEABLE = ("display_name", "expire_time", "max_uses", "password")


class ShareLinkService:
    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    async def create(
        self, principal: Principal, new: NewLink, password: str
    ) -> tuple[ShareLink, str]:
        """Returns the link and its secret. Raises NotFound (RESOURCE_NOT_FOUND), PermissionDenied
        (ROLE_REQUIRED), InvalidArgument (INVALID_FIELD), FailedPrecondition
        (CREDENTIAL_LIMIT_EXCEEDED), ResourceExhausted (SERVER_BUSY)."""
        resources = [parse_resource(target, "targets") for target in new.targets]
        check_targets(resources, new)
        check_expiry(new.expire_time)
        # What a claim of an administrator gives does not count later, either.
        creator = replace(principal, administrator=False)
        password_hash = None
        if password:
            async with self._database.connection() as db:  # hashes only for those who may share
                await organization_of(db, creator, resources)
            password_hash = await self._passwords.hash(principal.charged, password)
        secret, share_link_id = new_secret(), new_id()
        async with self._database.transaction() as tx:
            org_id = await organization_of(tx, creator, resources)
            await check_members(tx, resources)
            await check_number(tx, Owner(creator.type, creator.id, org_id))
            link = await queries.insert(
                tx,
                share_link_id,
                secret_hash(secret),
                replace(new, targets=[str(resource) for resource in resources]),
                org_id,
                creator,
                password_hash,
            )
            media = [each.id for each in resources if each.kind == "media"]
            projects = [each.id for each in resources if each.kind == "project"]
            tx.audit(
                org_id=org_id,
                media_id=media[0] if len(media) == 1 else "",
                project_id=projects[0] if projects else "",
                resource_id=share_link_id,
            )
        return link, secret

    async def get(self, principal: Principal, share_link_id: str) -> ShareLink:
        """Raises NotFound (SHARE_LINK_NOT_FOUND)."""
        async with self._database.connection() as db:
            return await load_shown(db, principal, share_link_id)

    async def page(
        self, principal: Principal, after: tuple[datetime, str] | None, limit: int
    ) -> list[ShareLink]:
        """The links of the caller."""
        where = scope(principal, Role.MANAGER)
        async with self._database.connection() as db:
            return await queries.page(db, where, after, limit)

    async def page_of_target(
        self, principal: Principal, target: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[ShareLink]:
        """The links to a target. Raises NotFound (RESOURCE_NOT_FOUND), PermissionDenied
        (ROLE_REQUIRED)."""
        resource = parse_resource(target, "target")
        async with self._database.connection() as db:
            await organization_of(db, principal, [resource])
            found = await queries.page_of_target(db, principal, str(resource), after, limit)
            return await shown(db, principal, found)

    async def update(
        self, principal: Principal, share_link_id: str, changes: Mapping[str, Any]
    ) -> ShareLink:
        """Changes some of the fields `CHANGEABLE`. Raises NotFound (SHARE_LINK_NOT_FOUND),
        PermissionDenied (ROLE_REQUIRED), InvalidArgument (INVALID_UPDATE_MASK, INVALID_FIELD),
        FailedPrecondition (CREDENTIAL_LIMIT_EXCEEDED) if it had expired, ResourceExhausted
        (SERVER_BUSY)."""
        check_changeable(changes, CHANGEABLE)
        check_expiry(changes.get("expire_time"))
        values = {name: value for name, value in changes.items() if name != "password"}
        if "password" in changes:
            values["password_hash"] = None
            if password := changes["password"]:
                async with self._database.connection() as db:  # hashes only for those who may
                    await load_to_change(db, principal, share_link_id)
                hashed = await self._passwords.hash(principal.charged, password)
                values["password_hash"] = hashed
        async with self._database.transaction() as tx:
            link = await load_to_change(tx, principal, share_link_id)
            if link.expired and "expire_time" in changes:
                await check_number(tx, link.creator)
            if values:
                await queries.update(tx, share_link_id, values)
            tx.audit(
                org_id=link.creator.org_id,
                resource_id=share_link_id,
                details={"fields": ",".join(sorted(changes))},
            )
            return await load_shown(tx, principal, share_link_id)

    async def revoke(self, principal: Principal, share_link_id: str) -> ShareLink:
        """Idempotent. Raises NotFound (SHARE_LINK_NOT_FOUND)."""
        async with self._database.transaction() as tx:
            link = await load(tx, principal, share_link_id)
            if link.revoke_time is None:
                await queries.revoke(tx, share_link_id)
                tx.audit(org_id=link.creator.org_id, resource_id=share_link_id)
            return await load_shown(tx, principal, share_link_id)


async def check_number(tx: Transaction, creator: Owner) -> None:
    """Checks that a creator may have one more link that has not ended. Raises FailedPrecondition
    (CREDENTIAL_LIMIT_EXCEEDED)."""
    await lock(tx, Lock.SHARE_LINKS, creator.org_id, creator.type, creator.id)
    if await queries.count_active(tx, creator, MAX_ACTIVE) >= MAX_ACTIVE:
        raise too_many_links(MAX_ACTIVE)


def check_expiry(expire_time: datetime | None) -> None:
    if expire_time is not None and expire_time <= now():
        raise invalid("expire_time", "must be in the future")


def check_targets(resources: Sequence[Resource], new: NewLink) -> None:
    kinds = {resource.kind for resource in resources}
    single = len(resources) == 1 and kinds <= {"project", "collection"}
    if kinds != {"media"} and not single:
        raise invalid("targets", "must be media, or one project, or one collection")
    if new.mode is LinkMode.UPLOAD:
        if kinds != {"project"}:
            raise invalid("targets", "must be one project if the mode is UPLOAD")
        return
    for field, limit in (
        ("max_files", new.max_files),
        ("max_file_size_bytes", new.max_file_size),
    ):
        if limit is not None:
            raise invalid(field, "can only be set if the mode is UPLOAD")


async def check_members(tx: Transaction, resources: Sequence[Resource]) -> None:
    """A smart collection shows each reader what they may see, and would show a visitor nothing."""
    for resource in resources:
        if resource.kind == "collection" and await queries.is_smart(tx, resource.id):
            raise invalid("targets", "must not be a smart collection, which shares no media")


async def organization_of(
    db: Connection, principal: Principal, resources: Sequence[Resource]
) -> str:
    """The organization of resources that the caller may share. Raises the errors of `create`."""
    found = set()
    for resource in resources:
        located = await sharing.locate(db, resource, principal)
        missing = resource_not_found(str(resource))
        found.add(authorize(located, missing, Role.MANAGER).org_id)
    if len(found) > 1:
        raise invalid("targets", "must be in the same organization")
    return found.pop()


async def load(db: Connection, principal: Principal, share_link_id: str) -> ShareLink:
    """Returns a link that the caller may read and revoke. It does not exist for a caller with a
    lower role than MANAGER on each of its targets."""
    link = await queries.get(db, share_link_id, principal)
    missing = share_link_not_found(share_link_id)
    managed = link if link and link.role >= Role.MANAGER else None
    return authorize(managed, missing, Role.MANAGER)


async def load_shown(db: Connection, principal: Principal, share_link_id: str) -> ShareLink:
    (link,) = await shown(db, principal, [await load(db, principal, share_link_id)])
    return link


async def shown(
    db: Connection, principal: Principal, links: Sequence[ShareLink]
) -> list[ShareLink]:
    """Links that the caller manages, as the caller may see them. A MANAGER of one target sees the
    others on which they have a role; the creator and MANAGERs of the organization see all."""
    targets = {target for link in links if is_partly_seen(link) for target in link.targets}
    if not targets:
        return list(links)
    visible = await queries.visible(db, principal, sorted(targets))

    def as_seen(link: ShareLink) -> ShareLink:
        seen = [target for target in link.targets if target in visible]
        return replace(link, targets=seen, hidden_targets=len(link.targets) - len(seen))

    return [as_seen(link) if is_partly_seen(link) else link for link in links]


def is_partly_seen(link: ShareLink) -> bool:
    return link.owner_role < Role.MANAGER and len(link.targets) > 1


async def load_to_change(db: Connection, principal: Principal, share_link_id: str) -> ShareLink:
    """Returns a link that the caller may change. A change may loosen the protection of every
    target, so a MANAGER of only some of the targets may not make one."""
    link = await load(db, principal, share_link_id)
    if link.revoke_time is not None:
        raise share_link_not_found(share_link_id)
    on_all = await queries.get(db, share_link_id, principal, queries.ROLE_ON_ALL)
    if on_all is None or on_all.role < Role.MANAGER:
        raise role_required(Role.MANAGER)
    return link


async def remove_ended_links(database: Database) -> Batches:
    while True:
        async with database.connection() as db:
            removed = await queries.remove_ended(db, KEPT, BATCH)
            await queries.remove_attempts(db, ATTEMPTS_KEPT)
        yield removed
        if removed < BATCH:
            return
