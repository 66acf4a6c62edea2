"""Repairs findings as far as possible without losing data."""

from collections.abc import Mapping
from datetime import timedelta

from media_service.blobs import queries as blobs
from media_service.blobs.placing import release
from media_service.blobs.references import blob_references
from media_service.clock import now
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.notifications import MediaChanged
from media_service.jobs.model import JobKind
from media_service.media import queries as media_queries
from media_service.media.intake import intake_jobs
from media_service.reconcile import queries
from media_service.reconcile.model import GRACE, Finding, Kind
from media_service.reconcile.verify_blob import fault_of
from media_service.storage.blob_store import BlobStore


class Repairer:
    """Checks each finding again before it changes anything."""

    def __init__(
        self,
        database: Database,
        stores: Mapping[str, BlobStore],
        older_than: timedelta = GRACE,
    ) -> None:
        self._database = database
        self._stores = stores
        self._older_than = older_than

    async def repair(self, finding: Finding) -> bool:
        """Whether the finding is resolved. Raises Unavailable."""
        match finding.kind:
            case Kind.MISSING | Kind.CORRUPT | Kind.RECOVERED:
                return await self._settle(finding)
            case Kind.ORPHANED:
                return await self._delete(finding)
            case Kind.ABANDONED:
                return await self._abort(finding)

    async def _settle(self, finding: Finding) -> bool:
        """Checks the blob again and quarantines its media, or ends their quarantine. Keeps rows and
        bytes, because a backup or a disk that was not mounted may bring the bytes back. A cached
        render is removed instead, since it can be rendered again."""
        assert finding.blob_id is not None  # noqa: S101 - these come from rows
        async with self._database.connection() as db:
            blob = await queries.get(db, finding.blob_id)
        if blob is None:
            return True
        fault = await fault_of(self._stores[finding.store], blob, read=True)
        if fault is None:
            await self._take_back(blob.blob_id)
            return True
        async with self._database.transaction() as tx:
            if await queries.get(tx, blob.blob_id) is None:
                return True  # it was purged meanwhile
            if await blobs.remove_expendable(tx, blob_references(), blob.blob_id):
                await release(tx, blob.blob_id)
                return True
            quarantined = await queries.quarantine(tx, blob.blob_id, fault)
            # Quarantined media must not be public.
            await tx.enqueue(*(NewJob(JobKind.PUBLISH, media_id) for media_id in quarantined))
            for media_id in quarantined:
                tx.notify(MediaChanged(media_id))
        return False

    async def _take_back(self, blob_id: str) -> None:
        async with self._database.transaction() as tx:
            restored = await queries.take_back(tx, blob_id)
            found = await media_queries.get_many(tx, [each.media_id for each in restored])
            for each in restored:
                if not each.ready:
                    await tx.enqueue(*intake_jobs(found[each.media_id]))
                await tx.enqueue(NewJob(JobKind.PUBLISH, each.media_id))
                tx.notify(MediaChanged(each.media_id))

    async def _delete(self, finding: Finding) -> bool:
        """Deletes an object that no row refers to, after ensuring that none ever will.

        An upload in one step stores its bytes first and adds its rows a moment later, so looking
        for rows is not enough: they may be added right after. So the blob's id is retired first.
        Then a late upload with this id is refused, and one that added its rows before keeps its
        bytes. No row can refer to an object without a blob id, such as the file of a write that a
        crash interrupted.
        """
        driver = self._stores[finding.store].driver
        found = await driver.stat(finding.key)
        if found is not None and found.modified > now() - self._older_than:
            return False  # stored again since it was listed
        if not await self._retire(finding, queries.referenced):
            return True
        await driver.delete(finding.key)
        return True

    async def _abort(self, finding: Finding) -> bool:
        """Removes the parts of an open blob without an upload, after retiring its id as `_delete`
        does."""
        if await self._retire(finding, queries.in_use):
            await self._stores[finding.store].driver.abort(finding.key, finding.session)
        return True

    async def _retire(self, finding: Finding, find_referenced: queries.FindReferenced) -> bool:
        """False if the id is in use by now."""
        key = finding.key, finding.blob_id
        async with self._database.transaction() as tx:
            if finding.blob_id is None:
                return not await find_referenced(tx, [key])
            return await queries.retire(tx, finding.store, key, find_referenced)
        return False  # rolled back
