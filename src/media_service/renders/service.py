"""Use cases of pictures that are made while somebody waits for them."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial

from media_service.access.principal import Principal
from media_service.blobs.writing import measure
from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.pipeline.pipeline import Pipeline, with_format
from media_service.codecs.pipeline.sizes import trace_sizes
from media_service.errors import (
    FailedPrecondition,
    InvalidArgument,
    MediaError,
    Reason,
    Unavailable,
)
from media_service.media.content import Content, Use
from media_service.media.filenames import with_extension
from media_service.media.model import Media, MediaState
from media_service.media.reader import MediaReader
from media_service.media.service import check_version
from media_service.renders.cache import RenderCache
from media_service.renders.fair_queue import Turns
from media_service.renders.model import Picture, Render
from media_service.renders.negative_cache import Failures
from media_service.renders.negotiation import negotiated
from media_service.renders.singleflight import Flights
from media_service.renditions.inputs import overlay_of, picture_of, way_of
from media_service.storage.blob_store import BlobStore

# Who takes neither AVIF nor WebP gets the first of these that can hold the picture.
EVERYWHERE = ("JPEG", "PNG", "GIF")
# Up to here a picture is answered with from memory, and stored after the answer.
SMALL = 8 << 20
# Pictures that wait for each child, of all owners.
QUEUE = 64
# A picture that nobody waits for any more is finished if that takes no longer.
LINGER_SECONDS = 2.0
# Types that may hold an animation.
ANIMATED = ("image/gif", "image/webp")


class RenderService:
    """`children`: how many pictures the renderer makes at once."""

    def __init__(
        self,
        reader: MediaReader,
        renderer: ImageRenderer,
        cache: RenderCache,
        stores: Mapping[str, BlobStore],
        children: int,
        linger: float = LINGER_SECONDS,
    ) -> None:
        self._reader = reader
        self._renderer = renderer
        self._cache = cache
        self._stores = stores
        self._flights: Flights[Render] = Flights(linger)
        # While one is made, the next is opened, which on object stores takes as long.
        self._turns = Turns(2 * children, children * (2 + QUEUE))
        self._failures = Failures()

    async def close(self) -> None:
        """Ends what is being made."""
        await self._flights.close()

    async def find(
        self, principal: Principal, media_id: str, plan: Pipeline, accept: str, version: int = 0
    ) -> Picture:
        """The image to render from the caller's media. `accept`: the formats that the client
        accepts, for a pipeline that names none. `version` 0: the current one.

        Raises NotFound (MEDIA_NOT_FOUND, VERSION_NOT_FOUND), FailedPrecondition (MEDIA_DELETED,
        MEDIA_QUARANTINED, MEDIA_FAILED, OPERATION_NOT_APPLICABLE), Unavailable (MEDIA_NOT_READY).
        """
        return asked(*await self.media(principal, media_id, plan, version), plan, accept)

    async def media(
        self, principal: Principal, media_id: str, plan: Pipeline, version: int = 0
    ) -> tuple[Media, Sequence[Media]]:
        """The caller's media, and the others that a pipeline takes: pictures that the caller may
        read, ready or not. Raises as `find`."""
        media = picture_of(await self._reader.get(principal, media_id))
        check_version(media, version)
        way_of(media, plan.text)
        overlays = [await self._reader.get(principal, each) for each in plan.overlays]
        return media, [overlay_of(media, overlay, overlay.media_id) for overlay in overlays]

    async def find_linked(self, media: Media, plan: Pipeline, accept: str) -> Picture:
        """As `find`, of a media that its owner made a link to, with other media of that owner."""
        overlays = []
        for overlay_id in plan.overlays:
            overlay = await self._reader.find(overlay_id)
            overlays.append(overlay_of(media, overlay, overlay_id))
        return asked(picture_of(media), overlays, plan, accept)

    @asynccontextmanager
    async def content(self, picture: Picture) -> AsyncIterator[Content]:
        """The picture, kept or made now, for as long as the context lasts: it may be in memory.
        Its bytes may turn out to be gone: see `content_anew`.

        Raises ResourceExhausted (RENDER_BUSY), and as `ImageRenderer.render`.
        """
        render = self._cache.known(picture)
        if render is None:
            render = await self._flights.join(picture.identity, partial(self._find, picture))
        with self._cache.hold(render):
            yield content_of(picture, render)

    @asynccontextmanager
    async def content_anew(self, picture: Picture) -> AsyncIterator[Content]:
        """The picture made now, since what was kept has lost its bytes."""
        self._cache.forget(picture)
        work = partial(self._make, picture)
        render = await self._flights.join((picture.identity, "anew"), work)
        with self._cache.hold(render):
            yield content_of(picture, render)

    async def _find(self, picture: Picture) -> Render:
        return await self._cache.find(picture) or await self._make(picture)

    async def _make(self, picture: Picture) -> Render:
        self._failures.check(picture.identity)
        try:
            return await self._render(picture)
        except MediaError as error:
            self._failures.add(picture.identity, error)
            raise

    async def _render(self, picture: Picture) -> Render:
        deliver = () if picture.plan.format else EVERYWHERE
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self._turns.of(picture.media.owner))
            original = await self._open(opened, picture.media)
            overlays = {
                media_id: await self._open(opened, media)
                for media_id, media in picture.overlays.items()
            }
            rendering = self._renderer.render(
                original, picture.plan.text, overlays=overlays, deliver=deliver
            )
            with hinted():
                made = await opened.enter_async_context(rendering)
            if made.size_bytes > SMALL or not self._cache.has_room(made.size_bytes):
                return await self._cache.keep(picture, made.content_type, made.path)
            data = await asyncio.to_thread(made.path.read_bytes)
        size, checksums = await asyncio.to_thread(measure, data)
        render = Render(data, made.content_type, size, checksums)
        self._cache.keep_later(picture, render, data)
        return render

    async def _open(self, opened: AsyncExitStack, media: Media) -> ImageSource:
        """A media's bytes as a file, for as long as the stack lasts."""
        blob = media.blob
        file = self._stores[blob.store].as_file(blob.key, blob.size_bytes)
        path = await opened.enter_async_context(file)
        return ImageSource.of(path, media.content_type, media.info or {})


@contextmanager
def hinted() -> Iterator[None]:
    """PROCESSING_LIMIT_EXCEEDED says what else can be done."""
    try:
        yield
    except InvalidArgument as error:
        if error.reason is Reason.PROCESSING_LIMIT_EXCEEDED:
            error.message += " A job may take more, and longer: ProcessMedia."
        raise


def asked(media: Media, overlays: Sequence[Media], plan: Pipeline, accept: str) -> Picture:
    """Raises Unavailable (MEDIA_NOT_READY), FailedPrecondition (MEDIA_FAILED)."""
    for each in (media, *overlays):
        check_ready(each)
    by_id = {overlay.media_id: overlay for overlay in overlays}
    if plan.format:
        return Picture(media, by_id, plan, negotiated=False)
    if format_name := negotiated(accept, longest_side(media, plan), animated=is_animated(media)):
        plan = with_format(plan.text, format_name)
    return Picture(media, by_id, plan, negotiated=True)


def check_ready(media: Media) -> None:
    if media.state is MediaState.FAILED:
        fault = media.fault
        raise FailedPrecondition(
            Reason.MEDIA_FAILED,
            "The media could not be inspected when it came, so nothing is made of it:"
            f" {fault.message if fault else ''}",
            media_id=media.media_id,
            cause=fault.reason if fault else Reason.INTERNAL,
        )
    if media.state is not MediaState.READY:
        raise Unavailable(
            Reason.MEDIA_NOT_READY,
            "The media is not inspected yet. Try again in a moment.",
            media_id=media.media_id,
        )


def longest_side(media: Media, plan: Pipeline) -> int:
    """Of what is to be made of it, in pixels, at most."""
    info = media.info or {}
    return max(trace_sizes(plan.text, (info["width"], info["height"]), media.content_type).size)


def is_animated(media: Media) -> bool:
    frames = (media.info or {}).get("page_count", 1)
    return media.content_type in ANIMATED and frames > 1


def content_of(picture: Picture, render: Render) -> Content:
    filename = with_extension(picture.media.filename, render.content_type)
    return Content(
        render.source,
        picture.etag,
        render.size_bytes,
        render.checksums,
        render.content_type,
        filename,
        picture.modified,
        media_id=picture.media.media_id,
        use=Use.VIEW,
    )
