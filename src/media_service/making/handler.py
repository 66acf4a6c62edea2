"""The job that makes a rendition by a pipeline."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from media_service.db.database import Connection, Database
from media_service.failpoints import failpoint
from media_service.jobs import queries as jobs
from media_service.jobs.model import Claim, JobState
from media_service.jobs.progress import Progress
from media_service.media import queries
from media_service.media.model import Media, NewRendition
from media_service.media.pictures import overlay_of, picture_of
from media_service.media.reader import not_found
from media_service.media.renditions import Renditions, check_room
from media_service.processing.inspector import Inspector
from media_service.processing.pipeline.plan import Plan, read_plan
from media_service.processing.renderer import Renderer
from media_service.processing.source import Source
from media_service.storage.blobs import BlobStore
from media_service.types import Fault


class ProcessHandler:
    """Does PROCESS jobs; their subject is a media id. `stores`: by name, as blobs name theirs."""

    def __init__(
        self,
        database: Database,
        stores: Mapping[str, BlobStore],
        renditions: Renditions,
        inspector: Inspector,
        renderer: Renderer,
    ) -> None:
        self._database = database
        self._stores = stores
        self._renditions = renditions
        self._inspector = inspector
        self._renderer = renderer

    async def run(self, claim: Claim, progress: Progress) -> None:
        plan = read_plan(claim.pipeline)
        media, overlays = await self._load(claim, plan)
        if media.made(claim.rendition, claim.pipeline):  # by another job, meanwhile
            await self._finish(claim)
            return
        check_room(media, claim.rendition)
        progress.report("fetch", 5)
        async with AsyncExitStack() as opened:
            original = await self._open(opened, media)
            laid = {each.media_id: await self._open(opened, each) for each in overlays}
            progress.report("render", 20)
            rendering = self._renderer.render(
                original,
                claim.pipeline,
                overlays=laid,
                progress=partial(tell, progress),
            )
            made = await opened.enter_async_context(rendering)
            failpoint("process.store.before")
            progress.report("store", 80)
            new = NewRendition(
                claim.rendition,
                made.content_type,
                claim.pipeline,
                media.version,
                made.width,
                made.height,
            )

            async def ending(db: Connection) -> bool:
                ended = await jobs.finish(db, claim, JobState.SUCCEEDED)
                failpoint("process.finish.before")
                return ended

            await self._renditions.add(media.media_id, new, made.path, ending)
        failpoint("process.finish.after")

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        async with self._database.connection() as db:
            await jobs.finish(db, claim, JobState.FAILED, fault)

    async def _finish(self, claim: Claim) -> None:
        async with self._database.connection() as db:
            await jobs.finish(db, claim, JobState.SUCCEEDED)

    async def _load(self, claim: Claim, plan: Plan) -> tuple[Media, list[Media]]:
        """The media, and those that are laid over it: all may have changed since it was asked."""
        wanted = (claim.subject_id, *plan.overlays)
        async with self._database.connection() as db:
            found = await queries.get_many(db, wanted)
        media = found.get(claim.subject_id)
        if media is None:
            raise not_found(claim.subject_id)
        overlays = [overlay_of(media, found.get(each), each) for each in plan.overlays]
        return picture_of(media), overlays

    async def _open(self, opened: AsyncExitStack, media: Media) -> Source:
        """A media's bytes as a file, for as long as the stack lasts."""
        blob, info = media.blob, media.info
        file = self._stores[blob.store].as_file(blob.key, blob.size_bytes)
        path = await opened.enter_async_context(file)
        if info is None:  # its own job has not come to it yet, or could make nothing of it
            info = (await self._inspector.inspect(path, media.kind, media.content_type)).info
        return Source.of(path, media.content_type, info)


def tell(progress: Progress, percent: int) -> None:
    """`percent`: of the pixels. When all are computed, the slower formats have just begun."""
    if percent < 100:
        progress.report("render", 20 + percent * 0.4)
    else:
        progress.report("encode", 60)
