"""Use cases of media."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from media_service.access.lists import after_sql
from media_service.access.owner import Owner
from media_service.access.page_tokens import PageTokens
from media_service.access.policy import Condition, authorize, owned_by
from media_service.access.principal import LINK, Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.notifications import MediaChanged
from media_service.db.transaction import Connection, Transaction
from media_service.errors import (
    Aborted,
    FailedPrecondition,
    Fault,
    InvalidArgument,
    NotFound,
    Reason,
    Unavailable,
)
from media_service.jobs.model import JobKind
from media_service.jobs.queries import changing
from media_service.media import queries
from media_service.media.intake import intake_jobs
from media_service.media.model import Listed, Media, MediaState, Rendition, Total, Visibility
from media_service.media.paging import parse_order, types_of
from media_service.media.policy import Policies, policies_from
from media_service.media.reader import MediaReader, not_found
from media_service.media.selection import select
from media_service.sharing import queries as sharing
from media_service.sharing.creation import check_lasting_owner, check_owner, check_project
from media_service.sharing.recording import owner_in_log
from media_service.sharing.resources import Resource

UNINSPECTED = {MediaState.PENDING, MediaState.PROCESSING}
CHANGEABLE = (
    "filename",
    "title",
    "description",
    "tags",
    "labels",
    "visibility",
    "capture_time",
    "expire_time",
    "rating",
    "metadata",
)


def gone(media_id: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.MEDIA_DELETED, "The media is deleted. Undelete it first.", media_id=media_id
    )


def not_ready(media_id: str, message: str) -> Unavailable:
    return Unavailable(Reason.MEDIA_NOT_READY, message, media_id=media_id)


def readable(media: Media) -> Media:
    """Returns the media if its content may be served now. Raises FailedPrecondition (MEDIA_DELETED,
    MEDIA_QUARANTINED, MEDIA_FAILED), Unavailable (MEDIA_NOT_READY)."""
    return scanned(available(media))


def scanned(media: Media) -> Media:
    """Returns the media unless its content is held back until it is scanned for viruses, until its
    metadata is removed, or until it is inspected again after it was refused. Raises Unavailable
    (MEDIA_NOT_READY)."""
    if media.refused and media.state is not MediaState.QUARANTINED:
        raise not_ready(
            media.media_id,
            "The media was refused, and is held back until its inspection accepts it. Try again"
            " later.",
        )
    if media.strip_pending and media.state is not MediaState.QUARANTINED:
        raise not_ready(
            media.media_id,
            "The media is held back until the metadata of its file has been removed. Try again"
            " later, unless its state is FAILED.",
        )
    return check_scanned(media)


def check_scanned(media: Media) -> Media:
    """Raises Unavailable (MEDIA_NOT_READY) if the media is held until its virus scan."""
    if media.scan.held and media.state is not MediaState.QUARANTINED:
        raise not_ready(
            media.media_id,
            "The media is held back until it has been scanned for viruses. Try again later.",
        )
    return media


def available(media: Media) -> Media:
    """Returns the media if its content may be served, now or soon. Raises FailedPrecondition
    (MEDIA_DELETED, MEDIA_QUARANTINED, MEDIA_FAILED)."""
    if inspectable(media).refused and media.state is MediaState.FAILED:
        fault = media.fault
        raise FailedPrecondition(
            Reason.MEDIA_FAILED,
            "A policy or a blocklist refused the file, so it is not served:"
            f" {fault.message if fault else ''} If that has changed, call ReprocessMedia.",
            media_id=media.media_id,
            cause=fault.reason if fault else Reason.INTERNAL,
        )
    return media


def inspectable(media: Media) -> Media:
    """Returns the media if it may be inspected, even if it was refused. Raises FailedPrecondition
    (MEDIA_DELETED, MEDIA_QUARANTINED)."""
    if media.delete_time is not None:
        raise gone(media.media_id)
    if media.state == MediaState.QUARANTINED:
        raise FailedPrecondition(
            Reason.MEDIA_QUARANTINED,
            "The media is in quarantine. Its content is not served.",
            media_id=media.media_id,
        )
    return media


async def load(db: Connection, principal: Principal, media_id: str, *, lock: bool = False) -> Media:
    """Returns a media if the caller has the role that the method requires. With `lock`, locks it as
    `queries.lock` does. Raises NotFound (MEDIA_NOT_FOUND) and PermissionDenied (ROLE_REQUIRED).
    """
    media = await (queries.lock if lock else queries.get)(db, media_id, principal)
    return authorize(media, not_found(media_id))


def find_rendition(media: Media, name: str, version: int = 0) -> Rendition:
    """Returns the rendition with this name from this version of the original. Version 0 means any.
    Raises NotFound (RENDITION_NOT_FOUND).
    """
    for rendition in media.renditions:
        if rendition.name == name and version in {0, rendition.version}:
            return rendition
    raise NotFound(
        Reason.RENDITION_NOT_FOUND,
        "The media has no rendition of this name.",
        media_id=media.media_id,
        rendition=name,
    )


def check_etag(media: Media, etag: str) -> None:
    """Raises Aborted (ETAG_MISMATCH) if this is not the etag of the media. An empty etag and "*"
    match any media."""
    if etag and etag not in {"*", media.etag, media.etag.strip('"')}:
        raise Aborted(
            Reason.ETAG_MISMATCH,
            "The media has changed since you read it. Read it again.",
            etag=media.etag,
        )


def check_move(media: Media, project_id: str, policies: Policies) -> None:
    """Checks a media that comes under the policies of another project. Raises FailedPrecondition
    (VISIBILITY_NOT_ALLOWED), Unavailable (MEDIA_NOT_READY), and the errors of
    `Policies.check_moved`."""
    policies.check_visibility(media.visibility)
    if not project_id or project_id == media.project_id:
        return
    # An inspection that has begun applies the policies of the former project.
    if policies.need_inspection and media.state in UNINSPECTED:
        raise not_ready(
            media.media_id,
            "The policy of the project cannot be checked before the media has been inspected. Try"
            " again in a moment.",
        )
    policies.check_moved(media)


class MediaService:
    """Reads, lists, changes and deletes media. `purge_after` is how long a deleted media can be
    undeleted."""

    def __init__(
        self,
        database: Database,
        reader: MediaReader,
        page_tokens: PageTokens,
        purge_after: timedelta,
    ) -> None:
        self._page_tokens = page_tokens
        self._database = database
        self._reader = reader
        self._purge_after = purge_after

    async def get(self, principal: Principal, media_id: str) -> Media:
        return await self._reader.get(principal, media_id)

    async def list_media(
        self,
        principal: Principal,
        *,
        filter_text: str,
        order_by: str,
        page_token: str,
        show_deleted: bool,
        owner: Owner | None,
        project_id: str,
        limit: int,
        show_total: bool = False,
    ) -> tuple[list[Listed], Callable[[Listed], str], Total | None]:
        """Returns media that the caller may read, a function that returns the token of the page
        after a given media, and with `show_total` how many they are. `owner` selects media of one
        owner. Raises InvalidArgument (INVALID_FIELD, INVALID_FILTER, INVALID_ORDER_BY,
        INVALID_PAGE_TOKEN)."""
        is_link = principal.type == LINK
        if is_link and owner is not None:  # it does not learn who owns a media
            why = "cannot be set by the session of a share link"
            raise InvalidArgument(Reason.INVALID_FIELD, f"The owner {why}.", (("owner", why),))
        where = []
        if owner is not None:
            where.append(owned_by(owner, "m"))
        keys = parse_order(order_by)
        query = ("media", principal.owner, filter_text, order_by, show_deleted, owner, project_id)
        if not show_deleted or is_link:
            where.append(Condition("m.delete_time is null", ()))
        if project_id:
            where.append(Condition("m.project_id <> '' and m.project_id = %s", (project_id,)))
        after = []
        if page_token:
            values = self._page_tokens.open(query, page_token, types_of(keys))
            after.append(after_sql("m", keys, values))
        async with self._database.connection() as db:
            may, selected = await select(db, principal, filter_text)
            where += selected
            total = await queries.count(db, may, where) if show_total else None
        found = await self._reader.page(may, where, keys, limit, after)
        return found, lambda listed: self._page_tokens.seal(query, listed.key), total

    async def update(
        self, principal: Principal, media_id: str, values: Mapping[str, Any], etag: str
    ) -> Media:
        """Changes some of the fields `CHANGEABLE`. To let anyone read more is to share, which
        requires the role MANAGER. Raises Aborted (ETAG_MISMATCH) if `etag` is set and is not the
        media's, FailedPrecondition (VISIBILITY_NOT_ALLOWED) and InvalidArgument
        (METADATA_NOT_ALLOWED)."""
        async with self._database.transaction() as tx:
            media = await load(tx, principal, media_id, lock=True)
            if media.delete_time is not None:
                raise gone(media_id)
            check_etag(media, etag)
            changes = {name: new for name, new in values.items() if new != getattr(media, name)}
            if not changes:
                return media
            visibility: Visibility = changes.get("visibility", media.visibility)
            publishes = visibility.exceeds(media.visibility)
            if publishes:
                authorize(media, not_found(media_id), Role.MANAGER)
            if publishes or "metadata" in changes:
                policies = await policies_of(tx, media.owner.org_id, media.project_id)
                if publishes:
                    policies.check_visibility(visibility)
                if "metadata" in changes:
                    policies.check_metadata(changes["metadata"])
            await queries.set_fields(tx, media_id, changes)
            changed = await load(tx, principal, media_id)
            await record_change(tx, media, changed)
            tx.audit("media.publish" if publishes else "", media_id=media_id)
        return changed

    async def delete(self, principal: Principal, media_id: str, etag: str) -> Media:
        """Soft-deletes a media. Idempotent."""
        async with self._database.transaction() as tx:
            media = await load(tx, principal, media_id, lock=True)
            if media.delete_time is not None:
                return media
            check_etag(media, etag)
            await queries.set_deleted(tx, media_id, self._purge_after)
            changed = await load(tx, principal, media_id)
            await record_change(tx, media, changed)
            tx.audit(media_id=media_id)
        return changed

    async def undelete(self, principal: Principal, media_id: str) -> Media:
        """Restores a soft-deleted media. Idempotent."""
        async with self._database.transaction() as tx:
            media = await load(tx, principal, media_id, lock=True)
            if media.delete_time is None:
                return media
            await queries.set_deleted(tx, media_id, None)
            changed = await load(tx, principal, media_id)
            await record_change(tx, media, changed)
            tx.audit(media_id=media_id)
        return changed

    async def transfer(
        self, principal: Principal, media_id: str, owner: Owner | None, project_id: str | None
    ) -> Media:
        """Gives a media to another owner or project. None: the one that it has. Raises NotFound
        (MEDIA_NOT_FOUND, PROJECT_NOT_FOUND), PermissionDenied (ROLE_REQUIRED, OWNER_NOT_ALLOWED),
        FailedPrecondition (VISIBILITY_NOT_ALLOWED), and if the policy of another project does not
        accept the file, Unavailable (MEDIA_NOT_READY) and the errors of `Policies.check_moved`.
        """
        async with self._database.transaction() as tx:
            media = await load(tx, principal, media_id, lock=True)
            org_id = media.owner.org_id
            await check_lasting_owner(tx, principal, Resource("media", media_id))
            if owner is not None:
                await check_owner(tx, principal, owner, org_id)
            if project_id:
                await check_project(tx, principal, project_id, org_id)
            project = media.project_id if project_id is None else project_id
            check_move(media, project, await policies_of(tx, org_id, project))
            await queries.move(tx, media_id, owner or media.owner, project)
            new_owner = {"owner": await owner_in_log(tx, owner)} if owner else None
            tx.audit(media_id=media_id, org_id=org_id, project_id=project, details=new_owner)
            tx.notify(MediaChanged(media_id))
            moved = await queries.get(tx, media_id, principal)
        assert moved  # noqa: S101 - it is locked
        return moved


async def record_change(tx: Transaction, before: Media, after: Media) -> None:
    """Notifies watchers of a change. If the renditions now belong in the other store, starts a job
    that moves them. The jobs on a media stop when it is deleted, and start again when it is
    undeleted."""
    if after.delete_time and not before.delete_time:
        fault = Fault(Reason.MEDIA_DELETED, "The media was deleted.", {"media_id": after.media_id})
        await changing.stop_all(tx, after.media_id, fault)
    if before.delete_time and not after.delete_time:
        resumed = await changing.resume_all(tx, after.media_id, Reason.MEDIA_DELETED)
        if after.state in UNINSPECTED:
            await tx.enqueue(*(job for job in intake_jobs(after) if job.kind not in resumed))
    if before.rendition_store != after.rendition_store:
        await tx.enqueue(NewJob(JobKind.PUBLISH, after.media_id))
    tx.notify(MediaChanged(after.media_id))


async def policies_of(db: Connection, org_id: str, project_id: str) -> Policies:
    """The policies in an organization and a project, either of which may be empty."""
    return policies_from(await sharing.policies_in(db, org_id, project_id))
