"""Renders images on demand, and serves cached renders."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from functools import partial

from media_service.access.fair_turns import FairTurns, Turn
from media_service.access.owner import Owner
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
    ResourceExhausted,
)
from media_service.media.content import Content, Use
from media_service.media.filenames import with_extension
from media_service.media.model import Media, MediaState
from media_service.media.reader import MediaReader
from media_service.media.service import not_ready, readable
from media_service.media.versions.reader import VersionReader
from media_service.renders.cache import RenderCache
from media_service.renders.model import Render, RenderSpec
from media_service.renders.negative_cache import NegativeCache
from media_service.renders.negotiation import negotiate
from media_service.renders.places import RenderPlaces
from media_service.renders.singleflight import Singleflight
from media_service.renders.slots import GaveWay, Slots
from media_service.renditions.pipeline_inputs import image_of, overlay_of, route_of
from media_service.storage.blob_store import BlobStore

# Formats for clients that accept neither AVIF nor WebP. The first one that can represent the result
# is used.
FALLBACK_FORMATS = ("JPEG", "PNG", "GIF")
# Results up to this size are sent from memory and stored afterwards.
MAX_BUFFERED_BYTES = 8 << 20
# The maximum number of waiting renders per child process, for all owners together.
WAITING_PER_CHILD = 64
# How long a render continues after its last client has disconnected.
LINGER_SECONDS = 2.0
ANIMATED_TYPES = ("image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Originals:
    """The open originals of a render. The files exist until the context that yielded them ends."""

    media: ImageSource
    overlays: Mapping[str, ImageSource]


class RenderService:
    """Finds and renders images. `children` is the number of child processes of the renderer. Each
    runs one render at a time."""

    def __init__(
        self,
        reader: MediaReader,
        renderer: ImageRenderer,
        cache: RenderCache,
        versions: VersionReader,
        stores: Mapping[str, BlobStore],
        children: int,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._reader = reader
        self._renderer = renderer
        self._cache = cache
        self._versions = versions
        self._stores = stores
        self._singleflight: Singleflight[Render] = Singleflight(linger_seconds)
        self._places = RenderPlaces(children * (2 + WAITING_PER_CHILD))
        self._children = children
        self._opening = FairTurns(3 * children, self._may_open)
        self._slots = Slots(children)
        self._failed = NegativeCache()

    async def close(self) -> None:
        """Cancels running renders."""
        await self._singleflight.close()

    async def find(
        self, principal: Principal, media_id: str, pipeline: Pipeline, accept: str, version: int = 0
    ) -> RenderSpec:
        """Finds the image to render from the caller's media. `accept` has the formats that the
        client accepts, for a pipeline without a format. `version` 0 means the current one.
        Raises NotFound (MEDIA_NOT_FOUND, VERSION_NOT_FOUND), FailedPrecondition (MEDIA_DELETED,
        MEDIA_QUARANTINED, MEDIA_FAILED, OPERATION_NOT_APPLICABLE), Unavailable (MEDIA_NOT_READY).
        """
        media, overlays = await self.media(principal, media_id, pipeline, version)
        return render_spec(media, overlays, pipeline, accept, principal.charged)

    async def media(
        self, principal: Principal, media_id: str, pipeline: Pipeline, version: int = 0
    ) -> tuple[Media, Sequence[Media]]:
        """Returns the caller's media and the overlays of the pipeline. The caller may read them,
        but they need not be READY. Raises the errors of `find`."""
        media = image_of(await self._reader.get(principal, media_id))
        media = image_of(await self._versions.shown(media, version))
        route_of(media, pipeline)
        overlays = [await self._reader.view(principal, each) for each in pipeline.overlays]
        return media, [overlay_of(media, overlay, overlay.media_id) for overlay in overlays]

    async def find_linked(
        self, media: Media, pipeline: Pipeline, accept: str, signer: Principal
    ) -> RenderSpec:
        """Like `find`, for a signed link to the media. Overlays must be in its project, or belong
        to its owner. It takes the share of the signer, however many use the link."""
        overlays = []
        for overlay_id in pipeline.overlays:
            overlay = await self._reader.find(overlay_id)
            overlays.append(overlay_of(media, overlay, overlay_id))
        return render_spec(image_of(media), overlays, pipeline, accept, signer.charged)

    @asynccontextmanager
    async def content(self, spec: RenderSpec) -> AsyncIterator[Content]:
        """Yields the rendered image. It may be in memory only while the context lasts. If the bytes
        of a cached render are missing, call `content_rendered_again`.

        Raises ResourceExhausted (RENDER_BUSY) and the errors of `ImageRenderer.render`.
        """
        render = self._cache.known(spec)
        if render is None:
            render = await self._rendered(spec)
        with self._cache.hold(render):
            yield content_of(spec, render)

    @asynccontextmanager
    async def content_rendered_again(self, spec: RenderSpec) -> AsyncIterator[Content]:
        """Like `content`, but renders again because the bytes of the cached render are missing."""
        self._cache.forget(spec)
        compute = partial(self._render_unless_failed, spec)
        render = await self._singleflight.run((spec.render_id, "again"), compute)
        with self._cache.hold(render):
            yield content_of(spec, render)

    async def _rendered(self, spec: RenderSpec) -> Render:
        """Shares a render with others who request it, but not the refusal of their share."""
        begun = False

        async def begin() -> Render:
            nonlocal begun
            begun = True
            return await self._find(spec)

        try:
            return await self._singleflight.run(spec.render_id, begin)
        except ResourceExhausted as error:
            if begun or error.reason is not Reason.RENDER_BUSY:
                raise
            return await self._singleflight.run((spec.render_id, spec.charged), begin)

    async def _find(self, spec: RenderSpec) -> Render:
        return await self._cache.find(spec) or await self._render_unless_failed(spec)

    async def _render_unless_failed(self, spec: RenderSpec) -> Render:
        self._failed.check(spec.render_id)
        try:
            return await self._render(spec)
        except MediaError as error:
            self._failed.add(spec.render_id, error)
            raise

    async def _render(self, spec: RenderSpec) -> Render:
        owner = spec.charged
        async with self._places.place(owner):
            try:
                async with self._opening.turn(owner), self._originals(spec) as originals:
                    return await self._render_in(self._slots.slot(owner), spec, originals)
            except GaveWay:
                # It may wait for long, so it opens its originals only when it has a slot.
                async with (
                    self._slots.slot(owner, heavy=True),
                    self._originals(spec) as originals,
                ):
                    return await self._render_in(nullcontext(), spec, originals)

    def _may_open(self, turn: Turn) -> bool:
        """Whether another render may open its originals. While one render runs, those of the next
        one are opened, because reading from an object store takes about as long as a render. An
        owner leaves a third to others."""
        return self._opening.running_of(turn.owner) < 2 * self._children

    async def _render_in(
        self, slot: AbstractAsyncContextManager[None], spec: RenderSpec, originals: Originals
    ) -> Render:
        """Renders in a slot, and keeps the result."""
        async with AsyncExitStack() as stack:
            async with slot:
                rendering = self._renderer.render(
                    originals.media,
                    spec.pipeline,
                    overlays=originals.overlays,
                    deliver=() if spec.pipeline.format else FALLBACK_FORMATS,
                )
                with suggesting_a_job():
                    result = await stack.enter_async_context(rendering)
            size = result.size_bytes
            if size > MAX_BUFFERED_BYTES or not self._cache.has_room(size):
                return await self._cache.store(spec, result.content_type, result.path)
            data = await asyncio.to_thread(result.path.read_bytes)
        size, checksums = await asyncio.to_thread(measure, data)
        render = Render(data, result.content_type, size, checksums)
        self._cache.store_later(spec, render, data)
        return render

    @asynccontextmanager
    async def _originals(self, spec: RenderSpec) -> AsyncIterator[Originals]:
        async with AsyncExitStack() as stack:
            media = await self._open(stack, spec.media)
            overlays = {key: await self._open(stack, each) for key, each in spec.overlays.items()}
            yield Originals(media, overlays)

    async def _open(self, stack: AsyncExitStack, media: Media) -> ImageSource:
        """Opens the original as a file, which exists until the stack closes."""
        blob = media.blob
        file = self._stores[blob.store].as_file(blob.key, blob.size_bytes)
        path = await stack.enter_async_context(file)
        return ImageSource.of(path, media.content_type, media.info)


@contextmanager
def suggesting_a_job() -> Iterator[None]:
    """Adds the hint to PROCESSING_LIMIT_EXCEEDED errors that jobs have higher limits."""
    try:
        yield
    except InvalidArgument as error:
        if error.reason is Reason.PROCESSING_LIMIT_EXCEEDED:
            error.message += " Jobs have higher limits: call ProcessMedia."
        raise


def render_spec(
    media: Media, overlays: Sequence[Media], pipeline: Pipeline, accept: str, charged: Owner
) -> RenderSpec:
    """Builds the spec of a render, and negotiates its format. Raises Unavailable (MEDIA_NOT_READY)
    and FailedPrecondition (MEDIA_FAILED)."""
    for each in (media, *overlays):
        check_ready(each)
    by_id = {overlay.media_id: overlay for overlay in overlays}
    if pipeline.format:
        return RenderSpec(media, by_id, pipeline, negotiated=False, charged=charged)
    side = longer_side(media, pipeline)
    if format_name := negotiate(accept, side, animated=is_animated(media)):
        pipeline = with_format(pipeline, format_name)
    return RenderSpec(media, by_id, pipeline, negotiated=True, charged=charged)


def check_ready(media: Media) -> None:
    readable(media)
    if media.state is MediaState.FAILED:
        fault = media.fault
        raise FailedPrecondition(
            Reason.MEDIA_FAILED,
            "The media cannot be rendered because its inspection failed:"
            f" {fault.message if fault else ''}",
            media_id=media.media_id,
            cause=fault.reason if fault else Reason.INTERNAL,
        )
    if media.state is not MediaState.READY:
        raise not_ready(media.media_id, "The media is not inspected yet. Try again in a moment.")


def longer_side(media: Media, pipeline: Pipeline) -> int:
    """An upper bound of the result's longer side, in pixels."""
    size = (media.image.width, media.image.height)
    return max(trace_sizes(pipeline, size, media.content_type).size)


def is_animated(media: Media) -> bool:
    return media.content_type in ANIMATED_TYPES and media.image.page_count > 1


def content_of(spec: RenderSpec, render: Render) -> Content:
    filename = with_extension(spec.media.filename, render.content_type)
    return Content(
        render.body,
        spec.etag,
        render.size_bytes,
        render.checksums,
        render.content_type,
        filename,
        spec.modified,
        media_id=spec.media.media_id,
        version=spec.media.version,
        use=Use.VIEW,
    )
