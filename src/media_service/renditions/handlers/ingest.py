"""The job that hashes and inspects an uploaded file, so that its media is READY or FAILED."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from media_service.blobs.model import Blob
from media_service.blobs.placing import LINGER, Placer, release
from media_service.blobs.writing import measure, write_to
from media_service.codecs.inspection import Info, Inspection, VideoInfo, kind_of
from media_service.codecs.inspector import Inspector
from media_service.codecs.strip.stripper import write
from media_service.codecs.video.source import AvSource
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.notifications import MediaChanged
from media_service.db.refusals import file_blocked
from media_service.db.transaction import Transaction
from media_service.duplicates import queries as duplicates
from media_service.duplicates.sharing import BlobSharing
from media_service.errors import FailedPrecondition, Fault, InvalidArgument, Reason
from media_service.failpoints import failpoint
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs, reading
from media_service.media import queries
from media_service.media.allowed_types import AllowedTypes
from media_service.media.expiry import delete
from media_service.media.model import Kind, Media, MediaState, Placeholder, ScanState
from media_service.media.policy import Policies
from media_service.media.service import policies_of
from media_service.media.versions import queries as versions
from media_service.media.versions.adding import check_kind, tell_failure
from media_service.policies.queries import blocklist
from media_service.quotas import queries as quotas
from media_service.quotas.model import Charged
from media_service.renditions.presets import Presets
from media_service.renditions.rendition_store import RenditionFile, RenditionStore
from media_service.renditions.replacing import jobs_of_replaced, make_current, remove_replaced
from media_service.renditions.thumbnails import ThumbnailRenderer
from media_service.search.indexing import MAX_CONTENT, put_content
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.temporary_files import temporary_file

log = logging.getLogger(__name__)

# How long a media that a policy refuses can be read, so that its owner learns why.
KEPT_REFUSED = timedelta(days=1)


class IngestHandler(JobHandler):
    """Runs INGEST jobs. The subject of a job is a media id. The original is kept even if the job
    fails.

    Each step changes the media once: its state becomes PROCESSING, it gets its SHA-256, and it
    becomes READY with its thumbnails.
    """

    kind = JobKind.INGEST

    def __init__(
        self,
        database: Database,
        raw: BlobStore,
        renditions: RenditionStore,
        inspector: Inspector,
        thumbnails: ThumbnailRenderer,
        presets: Presets,
        allowed_types: AllowedTypes,
        purge_after: timedelta,
    ) -> None:
        self._database = database
        self._store = raw
        self._sharing = BlobSharing(database, raw)
        self._renditions = renditions
        self._inspector = inspector
        self._thumbnails = thumbnails
        self._presets = presets
        self._allowed_types = allowed_types
        self._purge_after = purge_after

    async def run(self, claim: Claim, progress: Progress) -> None:
        begun = await self._begin(claim)
        if begun is None:
            return
        media, policies = begun
        progress.report("hash", 0)
        media, fault = await self._hash(media)
        if fault:
            await self._refuse(claim, media, fault)
            return
        if media.strip_pending:
            progress.report("strip", 20)
            try:
                stripped = await self._strip(claim, media)
            except InvalidArgument as error:
                if error.reason is not Reason.METADATA_NOT_REMOVABLE:
                    raise
                await self._refuse(claim, media, Fault(error.reason, error.message, error.metadata))
                return
            if stripped is None:
                return
            media = stripped
        media = await self._sharing.share(claim, media)
        blob = media.blob
        progress.report("inspect", 30)
        async with self._store.as_file(blob.key, blob.size_bytes) as path:
            found = await self._inspector.inspect(path, media.kind, media.content_type)
            media = self._as_found(media, found)
            if fault := refusal(media, found.info, policies):
                await self._refuse(claim, media, fault)
                return
            content = None
            if media.kind is Kind.DOCUMENT:
                content = await self._inspector.words_of(path, media.content_type, MAX_CONTENT)
            progress.report("thumbnails", 60)
            frames = await self._frame_hashes(media, path, found.info)
            async with self._thumbnails.render(media, path, found.info) as thumbnails:
                hashes = frames or thumbnails.placeholder.hashes
                if fault := await self._look(media, hashes):
                    await self._refuse(claim, media, fault)
                    return
                placeholder = replace(thumbnails.placeholder, hashes=hashes)
                failpoint("ingest.finish.before")
                presets = self._presets.replaced(policies.presets)
                finish = partial(self._finish, claim, media, found, placeholder, presets, content)
                await self._add(media.media_id, thumbnails.files, finish)
        failpoint("ingest.finish.after")

    async def _add(
        self,
        media_id: str,
        files: Sequence[RenditionFile],
        finish: Callable[[Collection[str], Transaction], Awaitable[bool]],
    ) -> None:
        """Adds the thumbnails, unless a quota has no room for them. The media is READY without.
        `finish` gets their names."""
        names = [file.rendition.name for file in files]
        try:
            await self._renditions.add_all(media_id, files, partial(finish, names))
        except FailedPrecondition as error:
            if error.reason is not Reason.QUOTA_EXCEEDED:
                raise
            log.info("media %s has no new thumbnails: %s", media_id, error.message)
            await self._renditions.add_all(media_id, [], partial(finish, []))

    async def _strip(self, claim: Claim, media: Media) -> Media | None:
        """Replaces the original by one without metadata, and returns the media. None: another
        worker holds the job, or the media was purged. Raises InvalidArgument
        (METADATA_NOT_REMOVABLE)."""
        blob, form = media.blob, media.content_type
        async with self._store.as_file(blob.key, blob.size_bytes) as path:
            pieces = await self._inspector.without_metadata(path, form)
            with temporary_file("media-render-") as file:
                target = Path(file.name)
                await asyncio.to_thread(write, path, pieces, target)
                size, checksums = await asyncio.to_thread(measure, target)

                async def take(tx: Transaction, new: Blob) -> bool:
                    found = await versions.lock(tx, media.media_id, media.version)
                    if found is None or not await claimed_jobs.hold(tx, claim):
                        return False
                    await versions.replace_original(tx, found, new.blob_id, size)
                    # A scan may be reading it.
                    scanning = found.scan.state is ScanState.PENDING
                    await release(tx, blob.blob_id, LINGER if scanning else timedelta())
                    tx.audit("media.strip", media_id=media.media_id, size=size)
                    tx.notify(MediaChanged(media.media_id))
                    return True

                into = partial(write_to, self._store, target, size, form)
                await Placer(self._database).place(self._store, size, checksums, into, take)
        async with self._database.connection() as db:
            found = await versions.get(db, media.media_id, media.version)
        return found if found and not found.strip_pending else None

    def _as_found(self, media: Media, found: Inspection[Info]) -> Media:
        """Returns the media with the kind and the type that inspection found. Raises
        InvalidArgument (TYPE_NOT_ALLOWED) if that is another type, which is not accepted."""
        if found.content_type == media.content_type:
            return media
        self._allowed_types.check(found.content_type)
        return replace(media, kind=Kind(kind_of(found.info)), content_type=found.content_type)

    async def _finish(
        self,
        claim: Claim,
        media: Media,
        found: Inspection[Info],
        placeholder: Placeholder,
        presets: Presets,
        content: str | None,
        rendered: Collection[str],
        tx: Transaction,
    ) -> bool:
        """Sets the media to READY and starts its presets, or makes a new version current. Returns
        False if another worker holds the job, or if the version does not become current."""
        locked = await versions.lock(tx, media.media_id, media.version)
        if locked is None:  # the version was deleted
            await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED)
            return False
        if not locked.current and (fault := await self._other_kind(tx, media)):
            await self._refuse_locked(tx, claim, locked, fault)
            return False
        if not await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED):
            return False
        if not locked.current:
            kind = media.kind
            now_current = await make_current(tx, locked, kind, found, placeholder, rendered)
            if now_current is None:
                return False
            media = now_current
            jobs = await jobs_of_replaced(tx, media, found.info, presets)
        else:
            await queries.set_info(tx, media.media_id, media.kind, found, placeholder)
            if media.refused:  # its renditions were not in the public store
                await tx.enqueue(NewJob(JobKind.PUBLISH, media.media_id))
            jobs = presets.jobs(media, found.info, anew=claim.anew)
        if content is not None:
            await put_content(tx, media.media_id, content)
        await duplicates.record(tx, media.media_id, placeholder.hashes)
        # If a caller already started a job for the same rendition, that job takes precedence.
        requested = await reading.rendering(tx, [(job.subject_id, job.rendition) for job in jobs])
        new = [job for job in jobs if (job.subject_id, job.rendition) not in requested]
        started = await admitted(tx, media, new)
        await tx.enqueue(*started)
        if failed := [job.rendition for job in started if job.fault]:
            await remove_replaced(tx, media.media_id, failed)
        return True

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        async with self._database.transaction() as tx:
            # Lock media before jobs, as everywhere.
            media = await versions.lock(tx, claim.subject_id, claim.version)
            if not await claimed_jobs.finish(tx, claim, JobState.FAILED, fault):
                return
            if media is None or media.state is MediaState.READY:  # as before it was processed anew
                return
            await versions.set_state(tx, media, MediaState.FAILED, fault)
            tell_failure(tx, media, fault)
            tx.notify(MediaChanged(claim.subject_id))

    async def _refuse(self, claim: Claim, media: Media, fault: Fault) -> None:
        """Ends the job of a media that a policy or a blocklist does not accept. The media is FAILED
        and deleted, and soon purged, so that it counts no longer for quotas. Of a new version, only
        this version is FAILED."""
        async with self._database.transaction() as tx:
            locked = await versions.lock(tx, media.media_id, media.version)
            await self._refuse_locked(tx, claim, locked, fault)

    async def _refuse_locked(
        self, tx: Transaction, claim: Claim, media: Media | None, fault: Fault
    ) -> None:
        if not await claimed_jobs.finish(tx, claim, JobState.FAILED, fault):
            return
        if media is None or media.state is MediaState.QUARANTINED:
            return
        await versions.refuse(tx, media, fault)
        tell_failure(tx, media, fault)
        if media.delete_time is None and media.current:
            await delete(
                tx,
                [media.media_id],
                self._purge_after,
                at_most=KEPT_REFUSED,
                outcome=fault.reason,
            )
        tx.notify(MediaChanged(media.media_id))

    async def _other_kind(self, tx: Transaction, found: Media) -> Fault | None:
        """Why a new version, as inspected, cannot be one of its media."""
        media = await queries.get(tx, found.media_id)
        if media is None:
            return None
        try:
            check_kind(media, found.kind)
        except InvalidArgument as error:
            return Fault(error.reason, error.message, error.metadata)
        return None

    async def _begin(self, claim: Claim) -> tuple[Media, Policies] | None:
        """Sets the media to PROCESSING, and returns it with the policies that apply to it. If it
        was purged or quarantined, or is held until it is scanned, ends the job and returns None.
        The end of a quarantine, and the scan, start a new job.

        Also returns None if another worker holds the job. That worker may have ended it, and the
        media would then remain in PROCESSING.
        """
        async with self._database.transaction() as tx:
            media = await versions.lock(tx, claim.subject_id, claim.version)
            if not await claimed_jobs.hold(tx, claim):
                return None
            if media is None or media.state is MediaState.QUARANTINED or media.scan.held:
                await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED)
                return None
            if media.state in {MediaState.PENDING, MediaState.FAILED}:
                await versions.set_state(tx, media, MediaState.PROCESSING)
                tx.notify(MediaChanged(media.media_id))
            return media, await policies_of(tx, media.owner.org_id, media.project_id)

    async def _hash(self, media: Media) -> tuple[Media, Fault | None]:
        """Computes and records the SHA-256 if it is unknown. It is kept even if the job fails.
        Returns the media with it, and why the file is refused, if it is blocked and was not
        accepted before. Every inspection asks for that: an earlier one may have ended after it
        recorded the hash."""
        blob = media.blob
        sha256 = blob.checksums.sha256
        if sha256 is None:
            sha256 = await self._store.sha256(blob.key, blob.size_bytes)
            async with self._database.transaction() as tx:
                await queries.set_sha256(tx, media, sha256)
                tx.notify(MediaChanged(media.media_id))
            failpoint("ingest.hash.after")
            checksums = Checksums(blob.checksums.crc32c, sha256)
            media = replace(media, blob=replace(blob, checksums=checksums))
        if media.state is MediaState.READY:  # what was accepted before stays
            return media, None
        async with self._database.connection() as db:
            if not await blocklist.is_blocked(db, media.owner.org_id, sha256):
                return media, None
        return media, blocked(sha256)

    async def _frame_hashes(self, media: Media, path: Path, info: Info) -> Sequence[str | None]:
        """Of a video."""
        if not isinstance(info, VideoInfo) or not info.width:
            return ()
        source = AvSource.of(path, media.content_type, info)
        return await self._inspector.frame_hashes(source, info.rotation_degrees)

    async def _look(self, media: Media, hashes: Sequence[str | None]) -> Fault | None:
        """Why the file is refused, if it looks nearly the same as a blocked image and was not
        accepted before."""
        if media.state is MediaState.READY:
            return None
        async with self._database.connection() as db:
            if not await blocklist.looks_blocked(db, media.owner.org_id, hashes):
                return None
        return blocked(media.blob.checksums.sha256 or b"")


def blocked(sha256: bytes) -> Fault:
    error = file_blocked(sha256.hex())
    return Fault(error.reason, error.message, error.metadata)


async def admitted(tx: Transaction, media: Media, jobs: Sequence[NewJob]) -> Sequence[NewJob]:
    """The jobs of presets, which have failed if a quota of the media has nothing left for them."""
    if all(job.done for job in jobs):
        return jobs
    (error,) = await quotas.exhausted(tx, [Charged(media.owner, media.project_id)])
    if error is None:
        return jobs
    fault = Fault(error.reason, error.message, error.metadata)
    return [job if job.done else replace(job, fault=fault) for job in jobs]


def refusal(media: Media, info: Info, policies: Policies) -> Fault | None:
    """Why the policies do not accept a file, if they do not. What was accepted before stays."""
    if media.state is MediaState.READY:
        return None
    try:
        policies.check_found(media.content_type, info)
    except InvalidArgument as error:
        return Fault(error.reason, error.message, error.metadata)
    return None
