"""Deletes renditions, and purges media with all of their derived files.

One transaction removes the rows. Jobs then remove the blobs without references.
"""

from collections.abc import Sequence

from media_service.access.policy import Condition, authorize, scope
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.blobs import queries as blobs
from media_service.blobs.placing import release
from media_service.blobs.references import blob_references
from media_service.db.database import Database
from media_service.db.due_rows import DueBatches
from media_service.db.new_job import NewJob
from media_service.db.notifications import MediaChanged
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, Fault, Reason
from media_service.failpoints import failpoint
from media_service.jobs.model import JobKind
from media_service.jobs.periodic import Batches
from media_service.jobs.queries import changing
from media_service.media import queries
from media_service.media.model import STREAM, Media
from media_service.media.reader import not_found
from media_service.media.service import check_etag, find_rendition, gone, load
from media_service.media.trash import queries as trash
from media_service.media.versions import queries as versions
from media_service.media.versions.reader import version_not_found
from media_service.media.versions.references import REFERENCE as KEPT
from media_service.renditions.replacing import remove_renditions
from media_service.renditions.streams import queries as streams
from media_service.sharing import queries as grants

BATCH = 20
# The media that one call of EmptyTrash takes. Workers purge them later: that takes much longer.
MAX_EMPTIED = 1000


class DeletionService:
    """Use cases that delete permanently."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_rendition(
        self, principal: Principal, media_id: str, name: str, etag: str
    ) -> Media:
        """Deletes a rendition. A job removes its bytes. Raises NotFound (RENDITION_NOT_FOUND)."""
        async with self._database.transaction() as tx:
            media = await load(tx, principal, media_id, lock=True)
            if media.delete_time is not None:
                raise gone(media_id)
            blob = find_rendition(media, name).blob
            if name == STREAM:
                await unlink(tx, await streams.remove_ready(tx, media_id))
            check_etag(media, etag)
            await queries.remove_rendition(tx, media_id, name)
            await release(tx, blob.blob_id)
            await queries.touch(tx, media_id)
            changed = await load(tx, principal, media_id)
            tx.notify(MediaChanged(media_id))
            tx.audit(media_id=media_id, details={"rendition": name})
        return changed

    async def purge(self, principal: Principal, media_id: str) -> None:
        """Purges a deleted media immediately. Jobs remove its bytes."""
        async with self._database.transaction() as tx:
            media = await load(tx, principal, media_id, lock=True)
            if media.delete_time is None:
                raise FailedPrecondition(
                    Reason.MEDIA_NOT_DELETED,
                    "Only a deleted media can be purged. Delete it first.",
                    media_id=media_id,
                )
            await remove_media(tx, media_id)
            failpoint("media.purge.before")
        failpoint("media.purge.after")

    async def empty_trash(
        self, principal: Principal, project_id: str
    ) -> tuple[Sequence[str], bool]:
        """Lets workers purge deleted media of which the caller is OWNER: those of a project, or if
        `project_id` is empty, those that belong to the caller. Returns their ids, and whether there
        are more."""
        owner = principal.owner
        where = (
            Condition("m.project_id <> '' and m.project_id = %s", (project_id,))
            if project_id
            else Condition("(m.owner_type, m.owner_id) = (%s, %s)", (owner.type, owner.id))
        )
        async with self._database.transaction() as tx:
            may = scope(principal, Role.OWNER)
            selected = await trash.select(tx, may, where, MAX_EMPTIED + 1)
            locked = await trash.lock(tx, selected[:MAX_EMPTIED])
            found = await queries.get_asked(tx, [(id_, principal) for id_ in locked], bare=True)
            media = [authorize(m, not_found(m.media_id), Role.OWNER) for m in found if m]
            await trash.make_due(tx, [m.media_id for m in media])
            for each in media:
                tx.audit(
                    media_id=each.media_id, org_id=each.owner.org_id, project_id=each.project_id
                )
                tx.notify(MediaChanged(each.media_id))
        return [m.media_id for m in media], len(selected) > MAX_EMPTIED

    async def delete_version(self, principal: Principal, media_id: str, version: int) -> None:
        """Deletes a version that is not current, with what was rendered from it. Jobs remove its
        bytes, unless another version or media has the same. Raises NotFound (VERSION_NOT_FOUND),
        FailedPrecondition (VERSION_CURRENT)."""
        async with self._database.transaction() as tx:
            await load(tx, principal, media_id, lock=True)
            found = await versions.get(tx, media_id, version)
            if found is None:
                raise version_not_found(media_id, version)
            if found.current:
                raise FailedPrecondition(
                    Reason.VERSION_CURRENT,
                    "The current version cannot be deleted. Replace it, restore another one, or"
                    " delete the media.",
                    media_id=media_id,
                    version=version,
                )
            await remove_version(tx, found)


async def remove_version(tx: Transaction, version: Media, reason: str = "") -> None:
    """Removes a version that is not current, of a media that is locked. Workers stop its jobs."""
    media_id, number = version.media_id, version.version
    error = version_not_found(media_id, number)
    fault = Fault(error.reason, error.message, error.metadata)
    await changing.stop_version(tx, media_id, number, fault)
    kept = await versions.remove_kept(tx, version)
    for blob_id in kept.values():
        await release(tx, blob_id)
    served = (rendition for rendition in version.renditions if rendition.name not in kept)
    await remove_renditions(tx, version, served)
    cached = [each for each in blob_references() if each.expendable and each != KEPT]
    await unlink(tx, await blobs.remove_references(tx, cached, media_id))
    await versions.remove(tx, version)
    await release(tx, version.blob.blob_id)
    tx.audit("versions.delete", media_id=media_id, version=number, outcome=reason or "OK")
    tx.notify(MediaChanged(media_id))
    failpoint("version.remove.inside")


async def remove_media(tx: Transaction, media_id: str) -> None:
    """Removes the rows of a media. Jobs remove its bytes. The caller must hold a lock on the
    media. Workers stop its jobs."""
    tx.audit("media.purge", media_id=media_id)
    await tx.flush()  # while the media still says where it belongs
    # Lock in the order of everywhere: media, jobs, streams.
    fault = Fault(Reason.MEDIA_NOT_FOUND, "The media was purged.", {"media_id": media_id})
    await changing.stop_all(tx, media_id, fault)
    await streams.lock_all(tx, media_id)
    await unlink(tx, await blobs.remove_references(tx, blob_references(), media_id))
    await queries.remove(tx, media_id)
    await grants.forget(tx, [f"media:{media_id}"])
    tx.notify(MediaChanged(media_id))


async def unlink(tx: Transaction, blob_ids: list[str]) -> None:
    """Starts jobs that remove the bytes of blobs without references."""
    await tx.enqueue(*(NewJob(JobKind.UNLINK, blob_id) for blob_id in blob_ids))


async def purge_due(database: Database) -> Batches:
    """Purges deleted media past their `purge_time`."""
    batches = DueBatches(queries.TO_PURGE, BATCH)
    while not batches.done:
        async with database.transaction() as tx:
            due = await batches.take(tx)
        for media_id in due:
            # Use one transaction for each media, because a long video has thousands of segments.
            # Another process may have taken it meanwhile.
            async with database.transaction() as tx:
                purged = await queries.lock_for_purge(tx, media_id)
                if purged:
                    await remove_media(tx, media_id)
            if purged:
                failpoint("media.purge-due.after")
            yield int(purged)
