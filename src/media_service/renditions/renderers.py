"""Renders pipelines with the renderers for the kinds of media involved."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.document_renderer import DocumentRenderer
from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspection import DocumentInfo
from media_service.codecs.output import Output
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.codecs.pipeline.route import Route
from media_service.codecs.video.source import AvSource
from media_service.jobs.progress import Progress
from media_service.media.model import Kind
from media_service.renditions.original_files import Original

# The percentage of the job at which rendering starts, and at which storing starts.
RENDER_PERCENT, STORE_PERCENT = 20, 90
# The percentage of the job at which a frame or page is ready and its image pipeline starts.
IMAGE_PERCENT = 75
# The formats of a frame or a page, in order of preference, if its pipeline has no `convert`.
FRAME_FORMATS: Sequence[str] = ("JPEG", "PNG")
SOURCE_FORMAT: Sequence[str] = ()
EMPTY = Pipeline.of([])


@dataclass(frozen=True, slots=True)
class Renderers:
    images: ImageRenderer
    av: AvRenderer
    documents: DocumentRenderer

    async def render(
        self,
        stack: AsyncExitStack,
        original: Original,
        route: Route,
        overlays: Mapping[str, ImageSource],
        progress: Progress,
        *,
        name: str,
    ) -> Sequence[Output]:
        """Renders a pipeline. The last output is the rendition called `name`. The others are its
        companion files. The files exist until the stack closes. Raises the errors of
        `ImageRenderer.render`, `AvRenderer.render` and `DocumentRenderer.render`.
        """
        start, formats = RENDER_PERCENT, SOURCE_FORMAT
        if original.media.kind is Kind.IMAGE:
            source = original.image
        else:
            outputs = await self._render_original(stack, original, route, overlays, progress, name)
            if route.image_pipeline is None:
                return outputs
            image = outputs[-1]
            source = ImageSource(image.path, image.content_type, image.width, image.height)
            start, formats = IMAGE_PERCENT, FRAME_FORMATS
        rendering = self.images.render(
            source,
            route.image_pipeline or EMPTY,
            overlays=overlays,
            deliver=formats,
            progress=partial(report_pixels, progress, start),
        )
        rendered = await stack.enter_async_context(rendering)
        return [Output(rendered.path, rendered.content_type, rendered.width, rendered.height)]

    async def _render_original(
        self,
        stack: AsyncExitStack,
        original: Original,
        route: Route,
        overlays: Mapping[str, ImageSource],
        progress: Progress,
        name: str,
    ) -> Sequence[Output]:
        """Renders the operations on a video, an audio file or a document."""
        media, path = original.media, original.path
        end = IMAGE_PERCENT if route.image_pipeline is not None else STORE_PERCENT
        report = partial(report_fraction, progress, end)
        if media.kind is Kind.DOCUMENT:
            pages = original.info.page_count if isinstance(original.info, DocumentInfo) else 0
            rendering = self.documents.render(
                path, media.content_type, route.steps, report, pages=pages
            )
        else:
            source = AvSource.of(path, media.content_type, original.info)
            rendering = self.av.render(source, route.steps, overlays, report, name=name)
        return await stack.enter_async_context(rendering)


def report_fraction(progress: Progress, end: int, fraction: float) -> None:
    """Reports progress. `end` is the percentage of the job when `fraction` is 1."""
    progress.report("render", RENDER_PERCENT + (end - RENDER_PERCENT) * fraction)


def report_pixels(progress: Progress, start: int, percent: int) -> None:
    """Reports progress. `percent` is the share of computed pixels. At 100, slow formats have just
    started to encode."""
    if percent < 100:
        progress.report("render", start + (STORE_PERCENT - start) * percent * 0.006)
    else:
        progress.report("encode", start + (STORE_PERCENT - start) * 0.6)
