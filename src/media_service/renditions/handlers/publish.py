"""The job that moves the renditions of a media to the store that its visibility requires."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from media_service.blobs.model import Blob
from media_service.blobs.placing import Placer
from media_service.db.database import Database
from media_service.db.events import MediaChanged
from media_service.db.new_job import NewJob
from media_service.db.transaction import Transaction
from media_service.errors import Fault, MediaError, Reason
from media_service.failpoints import failpoint
from media_service.jobs import queries as jobs
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.media import queries
from media_service.media.model import Media, Rendition
from media_service.renditions.rendition_store import release_replaced
from media_service.storage.blob_store import BlobStore

log = logging.getLogger(__name__)

# After a job gives up, another starts: private renditions must not stay in the public store.
RETRY_DELAY = timedelta(minutes=10)


class PublishHandler(JobHandler):
    """Runs PUBLISH jobs. Their subject is a media id.

    To move a rendition, the job copies it to a new key, points the rendition to the copy in one
    transaction, and removes the source. So readers always find the rendition, and a killed job
    leaves nothing behind.
    """

    kind = JobKind.PUBLISH

    def __init__(self, database: Database, stores: Mapping[str, BlobStore]) -> None:
        self._database = database
        self._stores = stores
        self._placer = Placer(database)

    async def run(self, claim: Claim, progress: Progress) -> None:
        while media := await self._unfinished(claim):
            failed: MediaError | None = None
            for rendition in media.misplaced:
                try:
                    await self._move(media, rendition)
                except MediaError as error:
                    failed = error  # still move the others
            if failed is not None and await self._unfinished(claim):
                raise failed

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        log.error("renditions of media %s not moved: %s", claim.subject_id, fault.message)
        async with self._database.transaction() as tx:
            ended = await jobs.finish(tx, claim, JobState.FAILED, fault)
            if ended and fault.reason != Reason.BLOB_MISSING:  # what is lost does not come back
                await tx.enqueue(NewJob(JobKind.PUBLISH, claim.subject_id, delay=RETRY_DELAY))
        failpoint("publish.give-up.after")

    async def _unfinished(self, claim: Claim) -> Media | None:
        """The media that still has misplaced renditions; None, and the job ended, if it has none.

        Whoever changes where they belong holds the same lock, and accepts a job of their own.
        """
        async with self._database.transaction() as tx:
            media = await queries.lock(tx, claim.subject_id)
            if media is not None and media.misplaced:
                return media
            failpoint("publish.finish.before")
            await jobs.finish(tx, claim, JobState.SUCCEEDED)
        failpoint("publish.finish.after")
        return None

    async def _move(self, media: Media, rendition: Rendition) -> None:
        """Nothing, if the rendition, or the media's visibility, changed meanwhile."""
        blob = rendition.blob
        source, target = self._stores[blob.store], self._stores[media.home]

        async def write(key: str) -> None:
            kind = rendition.content_type
            await target.copy_from(source, blob.key, key, blob.size_bytes, kind)

        take = partial(self._take, media.media_id, rendition)
        await self._placer.place(target, blob.size_bytes, blob.checksums, write, take)

    async def _take(self, media_id: str, rendition: Rendition, tx: Transaction, copy: Blob) -> bool:
        media = await queries.lock(tx, media_id)
        if media is None or media.home != copy.store:
            return False
        if not await queries.move_rendition(tx, media_id, rendition, copy.blob_id):
            return False
        await release_replaced(tx, media, rendition.blob)
        await queries.touch(tx, media_id)
        tx.emit(MediaChanged(media_id))
        return True
