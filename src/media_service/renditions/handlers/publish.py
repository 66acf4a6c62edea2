"""The job that moves the renditions of a media to the store that its visibility requires. Those
that were kept with earlier versions leave the public store."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from media_service.blobs.model import PUBLIC, RAW, Blob
from media_service.blobs.placing import NewBlob, Placer
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.notifications import MediaChanged
from media_service.db.transaction import Transaction
from media_service.errors import Fault, MediaError, Reason
from media_service.failpoints import failpoint
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs
from media_service.media import queries
from media_service.media.model import Media, Rendition
from media_service.media.versions import queries as versions
from media_service.renditions.keeping import release_replaced
from media_service.storage.blob_store import BlobStore

log = logging.getLogger(__name__)

# When a job gives up, another one starts after this delay, because private renditions must not
# remain in the public store.
RETRY_DELAY = timedelta(minutes=10)
# The maximum size of a small rendition. Copying 200 of them takes well below the time limit of a
# write.
SMALL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Work:
    """Renditions of a media that belong in another store. `kept`: with earlier versions."""

    media: Media
    misplaced: Sequence[Rendition]
    kept: bool

    @property
    def store(self) -> str:
        return RAW if self.kept else self.media.rendition_store

    async def take(
        self, tx: Transaction, media_id: str, rendition: Rendition, blob_id: str
    ) -> None:
        move = versions.move_kept if self.kept else queries.move_rendition
        await move(tx, media_id, rendition, blob_id)


async def work_on(tx: Transaction, media: Media) -> Work | None:
    """What is to be moved next of a media, which is locked: those that it serves first."""
    if media.misplaced:
        return Work(media, media.misplaced, kept=False)
    kept = await versions.kept_renditions(tx, media.media_id, PUBLIC)
    return Work(media, kept, kept=True) if kept else None


class PublishHandler(JobHandler):
    """Runs PUBLISH jobs. The subject of a job is a media id.

    To move renditions, the job copies them to new keys, switches to the copies in one transaction,
    and then removes the sources. Readers therefore always find a rendition, and a killed job leaves
    nothing behind.
    """

    kind = JobKind.PUBLISH

    def __init__(self, database: Database, stores: Mapping[str, BlobStore]) -> None:
        self._database = database
        self._stores = stores
        self._placer = Placer(database)

    async def run(self, claim: Claim, progress: Progress) -> None:
        while work := await self._unfinished(claim):
            try:
                for group in groups(work.misplaced):
                    await self._move(work, group)
            except MediaError:
                await self._move_each(claim)

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        log.error("cannot move renditions of media %s: %s", claim.subject_id, fault.message)
        async with self._database.transaction() as tx:
            ended = await claimed_jobs.finish(tx, claim, JobState.FAILED, fault)
            if ended and fault.reason != Reason.BLOB_MISSING:  # a retry would not find it either
                await tx.enqueue(NewJob(JobKind.PUBLISH, claim.subject_id, delay=RETRY_DELAY))
        failpoint("publish.give-up.after")

    async def _unfinished(self, claim: Claim) -> Work | None:
        """Returns what is still misplaced of the media. If nothing is, ends the job and returns
        None.

        A change of the visibility takes the same lock and enqueues a new job.
        """
        async with self._database.transaction() as tx:
            media = await queries.lock(tx, claim.subject_id)
            if media is not None and (work := await work_on(tx, media)):
                return work
            failpoint("publish.finish.before")
            await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED)
        failpoint("publish.finish.after")
        return None

    async def _move_each(self, claim: Claim) -> None:
        """Moves renditions one by one, so that a failure does not block the others. Afterwards,
        raises the error of the last failure."""
        work = await self._unfinished(claim)
        if work is None:
            return
        failed: MediaError | None = None
        for rendition in work.misplaced:
            try:
                await self._move(work, [rendition])
            except MediaError as error:
                failed = error
        if failed is not None and await self._unfinished(claim):
            raise failed

    async def _move(self, work: Work, renditions: Sequence[Rendition]) -> None:
        """Moves renditions together. Does nothing if one of them, or the visibility of the media,
        has changed."""
        target = self._stores[work.store]
        copies = [
            NewBlob(r.blob.size_bytes, r.blob.checksums, partial(self._copy, target, r))
            for r in renditions
        ]
        take = partial(self._take, work, renditions)
        await self._placer.place_all(target, copies, take)

    async def _copy(self, target: BlobStore, rendition: Rendition, key: str) -> None:
        blob = rendition.blob
        source = self._stores[blob.store]
        await target.copy_from(source, blob.key, key, blob.size_bytes, rendition.content_type)

    async def _take(
        self,
        work: Work,
        renditions: Sequence[Rendition],
        tx: Transaction,
        copies: Sequence[Blob],
    ) -> bool:
        media_id = work.media.media_id
        media = await queries.lock(tx, media_id)
        now = await work_on(tx, media) if media else None
        if media is None or now is None or (now.store, now.kept) != (work.store, work.kept):
            return False
        current = {(r.name, r.blob.blob_id) for r in now.misplaced}
        if any((r.name, r.blob.blob_id) not in current for r in renditions):
            return False
        for rendition, copy in zip(renditions, copies, strict=True):
            await work.take(tx, media_id, rendition, copy.blob_id)
            await release_replaced(tx, media, rendition.blob)
        if media.published and not work.kept:  # otherwise, readers see no change
            await queries.touch(tx, media_id)
        tx.notify(MediaChanged(media_id))
        return True


def groups(renditions: Sequence[Rendition]) -> Iterator[Sequence[Rendition]]:
    """Groups the renditions to move together: all small ones, and each large one separately."""
    small = [r for r in renditions if r.blob.size_bytes <= SMALL_BYTES]
    if small:
        yield small
    for rendition in renditions:
        if rendition.blob.size_bytes > SMALL_BYTES:
            yield [rendition]
