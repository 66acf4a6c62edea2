"""The job that renders a rendition with a pipeline."""

from contextlib import AsyncExitStack
from datetime import timedelta

from media_service.codecs.output import Output
from media_service.codecs.pipeline.pipeline import Pipeline, stored_pipeline
from media_service.codecs.video.source import AvSource
from media_service.db.database import Database
from media_service.db.transaction import Transaction
from media_service.errors import Fault
from media_service.failpoints import failpoint
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs, subjobs
from media_service.media import queries
from media_service.media.model import Media, NewRendition
from media_service.media.reader import not_found
from media_service.media.service import readable
from media_service.renditions.original_files import OriginalFiles
from media_service.renditions.pipeline_inputs import overlay_of, route_of
from media_service.renditions.renderers import RENDER_PERCENT, STORE_PERCENT, Renderers
from media_service.renditions.rendition_store import (
    RenditionFile,
    RenditionStore,
    check_rendition_limit,
)
from media_service.renditions.replacing import remove_replaced
from media_service.renditions.streams.packager import StreamPackager
from media_service.renditions.thumbnails import ThumbnailRenderer


class ProcessHandler(JobHandler):
    """Runs PROCESS jobs. The subject of a job is a media id."""

    kind = JobKind.PROCESS
    time_limit = timedelta(hours=24)  # long videos

    def __init__(
        self,
        database: Database,
        renditions: RenditionStore,
        files: OriginalFiles,
        renderers: Renderers,
        streams: StreamPackager,
        thumbnails: ThumbnailRenderer,
    ) -> None:
        self._database = database
        self._store = renditions
        self._files = files
        self._renderers = renderers
        self._streams = streams
        self._thumbnails = thumbnails

    async def run(self, claim: Claim, progress: Progress) -> None:
        pipeline = stored_pipeline(claim.pipeline)
        media, overlays = await self._load(claim, pipeline)
        exists = media.rendered(claim.rendition, claim.pipeline)  # by another job
        if exists and not claim.anew:
            await self._end(claim)
            return
        check_rendition_limit(media, claim.rendition)
        progress.report("fetch", 5)
        async with AsyncExitStack() as stack:
            original = await self._files.open(stack, media)
            route = route_of(media, pipeline)
            if pipeline.makes_stream:
                source = AvSource.of(original.path, media.content_type, original.info)
                await self._streams.run(claim, media, source, route, progress)
                return
            overlay_images = {
                overlay.media_id: await self._files.open_image(stack, overlay)
                for overlay in overlays
            }
            progress.report("render", RENDER_PERCENT)
            outputs = await self._renderers.render(
                stack, original, route, overlay_images, progress, name=claim.rendition
            )
            failpoint("process.store.before")
            progress.report("store", STORE_PERCENT)
            placeholder = await self._thumbnails.placeholder(media, claim.rendition, outputs[-1])

            async def finish(tx: Transaction) -> bool:
                finished = await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED)
                if finished and placeholder:
                    await queries.set_placeholder(tx, media.media_id, placeholder)
                failpoint("process.finish.before")
                return finished

            files = [
                RenditionFile(new_rendition(claim, media, output), output.path)
                for output in outputs
            ]
            await self._store.add_all(media.media_id, files, finish)
        failpoint("process.finish.after")

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        """A rendition of an earlier version, which this one should have replaced, is removed."""
        async with self._database.transaction() as tx:
            await queries.lock(tx, claim.subject_id)  # media before jobs, as everywhere
            if await claimed_jobs.finish(tx, claim, JobState.FAILED, fault):
                await subjobs.cancel(tx, claim.job_id)
                await remove_replaced(tx, claim.subject_id, [claim.rendition])

    async def _end(self, claim: Claim) -> None:
        """Ends the job and cancels its subjobs, unless another worker holds it."""
        async with self._database.transaction() as tx:
            if await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED):
                await subjobs.cancel(tx, claim.job_id)

    async def _load(self, claim: Claim, pipeline: Pipeline) -> tuple[Media, list[Media]]:
        """Returns the media and its overlays, which may have changed since the job was accepted.

        Raises NotFound (MEDIA_NOT_FOUND) and the errors of `overlay_of` and `readable`.
        """
        media_ids = (claim.subject_id, *pipeline.overlays)
        async with self._database.connection() as db:
            found = await queries.get_many(db, media_ids)
        media = found.get(claim.subject_id)
        if media is None:
            raise not_found(claim.subject_id)
        overlays = [
            overlay_of(media, found.get(media_id), media_id) for media_id in pipeline.overlays
        ]
        for each in (media, *overlays):
            readable(each)
        return media, overlays


def new_rendition(claim: Claim, media: Media, output: Output) -> NewRendition:
    return NewRendition(
        claim.rendition + output.suffix,
        output.content_type,
        claim.pipeline,
        media.version,
        output.width,
        output.height,
    )
