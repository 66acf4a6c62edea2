"""The job that makes a rendition by a pipeline."""

from contextlib import AsyncExitStack

from media_service.codecs.output import Output
from media_service.codecs.pipeline.pipeline import Pipeline, stored_pipeline
from media_service.codecs.video.source import AvSource
from media_service.db.database import Database
from media_service.db.transaction import Transaction
from media_service.errors import Fault
from media_service.failpoints import failpoint
from media_service.jobs import queries as jobs
from media_service.jobs.model import Claim, JobState
from media_service.jobs.progress import Progress
from media_service.media import queries
from media_service.media.model import Media, NewRendition
from media_service.media.reader import not_found
from media_service.renditions.inputs import overlay_of, way_of
from media_service.renditions.keep import Renditions, check_room
from media_service.renditions.makers import BEGIN, STORE, Makers
from media_service.renditions.originals import Files
from media_service.renditions.streams.packager import StreamMaker


class ProcessHandler:
    """Does PROCESS jobs; their subject is a media id."""

    def __init__(
        self,
        database: Database,
        renditions: Renditions,
        files: Files,
        makers: Makers,
        streams: StreamMaker,
    ) -> None:
        self._database = database
        self._renditions = renditions
        self._files = files
        self._makers = makers
        self._streams = streams

    async def run(self, claim: Claim, progress: Progress) -> None:
        plan = stored_pipeline(claim.pipeline)
        media, overlays = await self._load(claim, plan)
        if media.made(claim.rendition, claim.pipeline):  # by another job, meanwhile
            await self._end(claim, JobState.SUCCEEDED)
            return
        check_room(media, claim.rendition)
        progress.report("fetch", 5)
        async with AsyncExitStack() as opened:
            original = await self._files.open(opened, media)
            way = way_of(media, claim.pipeline)
            if plan.makes_stream:
                film = AvSource.of(original.path, media.content_type, original.info)
                await self._streams.run(claim, media, film, way, progress)
                return
            laid = {each.media_id: await self._files.picture(opened, each) for each in overlays}
            progress.report("render", BEGIN)
            *others, made = await self._makers.make(
                opened, original, way, laid, progress, name=claim.rendition
            )
            failpoint("process.store.before")
            progress.report("store", STORE)
            for other in others:
                await self._renditions.add(media.media_id, new(claim, media, other), other.path)

            async def ending(tx: Transaction) -> bool:
                ended = await jobs.finish(tx, claim, JobState.SUCCEEDED)
                failpoint("process.finish.before")
                return ended

            await self._renditions.add(media.media_id, new(claim, media, made), made.path, ending)
        failpoint("process.finish.after")

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        await self._end(claim, JobState.FAILED, fault)

    async def _end(self, claim: Claim, state: JobState, fault: Fault | None = None) -> None:
        """With whatever is still done for it, unless that is for another worker."""
        async with self._database.transaction() as tx:
            if await jobs.finish(tx, claim, state, fault):
                await jobs.cancel_parts(tx, claim.job_id)

    async def _load(self, claim: Claim, plan: Pipeline) -> tuple[Media, list[Media]]:
        """The media, and those that are laid over it: all may have changed since it was asked."""
        wanted = (claim.subject_id, *plan.overlays)
        async with self._database.connection() as db:
            found = await queries.get_many(db, wanted)
        media = found.get(claim.subject_id)
        if media is None:
            raise not_found(claim.subject_id)
        overlays = [overlay_of(media, found.get(each), each) for each in plan.overlays]
        return media, overlays


def new(claim: Claim, media: Media, made: Output) -> NewRendition:
    return NewRendition(
        claim.rendition + made.suffix,
        made.content_type,
        claim.pipeline,
        media.version,
        made.width,
        made.height,
    )
