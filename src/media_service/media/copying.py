"""Copies media: new media with the bytes of others, which are stored once."""

from media_service.access.owner import Owner
from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.blobs import queries as blobs
from media_service.db.database import Database
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, Reason
from media_service.idempotency.claiming import claim
from media_service.idempotency.model import RequestKey
from media_service.media import queries
from media_service.media.intake import created_event, intake_jobs
from media_service.media.model import NOT_SCANNED, Attributes, Media, NewMedia, Scan
from media_service.media.policy import Policies, policies_from
from media_service.media.reader import not_found
from media_service.media.service import load, readable
from media_service.quotas import queries as quotas
from media_service.sharing.creation import Destination, placement_in


class CopyService:
    """`new_scan`: the virus scan of each new media."""

    def __init__(self, database: Database, new_scan: Scan = NOT_SCANNED) -> None:
        self._database = database
        self._new_scan = new_scan

    async def copy(
        self,
        principal: Principal,
        media_id: str,
        owner: Owner | None,
        project_id: str | None,
        key: RequestKey | None,
    ) -> Media:
        """Creates a media with the current file of another one, and with what callers say of it. It
        is inspected as an upload is. `owner` None: the caller. `project_id` None: that of the other
        media.

        Raises NotFound (MEDIA_NOT_FOUND, PROJECT_NOT_FOUND), PermissionDenied (ROLE_REQUIRED,
        OWNER_NOT_ALLOWED), FailedPrecondition (MEDIA_DELETED, MEDIA_QUARANTINED, MEDIA_FAILED,
        COPY_BETWEEN_TENANTS, FILE_BLOCKED, QUOTA_EXCEEDED), Unavailable (MEDIA_NOT_READY), Aborted
        (IDEMPOTENCY_CONFLICT), and the errors of `Policies.check_copied`.
        """
        async with self._database.transaction() as tx:
            media = await load(tx, principal, media_id)
            copy_id, repeated = await claim(tx, key)
            if not repeated:
                project = media.project_id if project_id is None else project_id
                placed = await placement_in(tx, principal, Destination(owner, project))
                policies = policies_from(placed.policies)
                check_copied(media, placed.owner, policies)
                new = self._copy_of(media, copy_id, placed.owner, project, policies)
                await add(tx, media, new, principal.owner)
            copied = await queries.get(tx, copy_id, principal)
        return authorize(copied, not_found(copy_id), Role.VIEWER)

    def _copy_of(
        self, media: Media, copy_id: str, owner: Owner, project_id: str, policies: Policies
    ) -> NewMedia:
        return NewMedia(
            copy_id,
            owner,
            media.kind,
            media.uploaded_type,
            media.filename,
            media.blob,
            project_id,
            Attributes(
                title=media.title,
                description=media.description,
                tags=media.tags,
                labels=media.labels,
                capture_time=media.capture_time,
                expire_time=media.expire_time,
                rating=media.rating,
                metadata=media.metadata,
            ),
            self._new_scan,
            strip_pending=policies.strip_metadata and not media.stripped,
            stripped=media.stripped,
        )


def check_copied(media: Media, owner: Owner, policies: Policies) -> None:
    """Checks that a media can be copied for an owner. Bytes are shared within a tenant only: an
    organization, or an owner outside of one."""
    readable(media)
    if media.owner.org_id != owner.org_id or not (owner.org_id or media.owner == owner):
        raise FailedPrecondition(
            Reason.COPY_BETWEEN_TENANTS,
            "The copy would belong to another organization or, outside of organizations, to another"
            " owner. Download the file and upload it, or name the owner of the media.",
            media_id=media.media_id,
        )
    policies.check_copied(media)


async def add(tx: Transaction, media: Media, new: NewMedia, actor: Owner) -> None:
    """Adds the copy of a media."""
    if not await blobs.share(tx, new.blob.blob_id, instead_of=new.blob.blob_id):
        raise not_found(media.media_id)  # it was purged meanwhile
    await queries.insert(tx, [new], shared=True)
    await quotas.charge_media(tx, [new.media_id])
    await tx.enqueue(*intake_jobs(new, actor))
    tx.emit(created_event(new))
    tx.audit(
        media_id=new.media_id,
        org_id=new.owner.org_id,
        project_id=new.project_id,
        size=new.blob.size_bytes,
        details={"copied": media.media_id},
    )
