"""What makes what: pictures, films and sounds, documents."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.document_renderer import DocumentRenderer
from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.output import Output
from media_service.codecs.pipeline.route import Route
from media_service.codecs.video.source import AvSource
from media_service.jobs.progress import Progress
from media_service.media.model import Kind
from media_service.renditions.originals import Original

# Percent of the whole job: where making begins, and where what was made is stored.
BEGIN, STORE = 20, 90
# Where a picture of a film or a document begins to be rendered.
PICTURE = 75
# What such a picture is written as, if the pipeline does not say.
DELIVER: Sequence[str] = ("JPEG", "PNG")
NOTHING: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Makers:
    renderer: ImageRenderer
    films: AvRenderer
    documents: DocumentRenderer

    async def make(
        self,
        stack: AsyncExitStack,
        original: Original,
        way: Route,
        overlays: Mapping[str, ImageSource],
        progress: Progress,
        *,
        name: str,
    ) -> Sequence[Output]:
        """What a pipeline makes, the main thing last, which will be called `name`; the files are
        there for as long as the stack lasts. Raises as `ImageRenderer.render`,
        `AvRenderer.render` and `DocumentRenderer.render`."""
        begin, deliver = BEGIN, NOTHING
        if original.media.kind is Kind.IMAGE:
            source = original.picture
        else:
            made = await self._before(stack, original, way, overlays, progress, name)
            if way.image_pipeline is None:
                return made
            picture = made[-1]
            source = ImageSource(picture.path, picture.content_type, picture.width, picture.height)
            begin, deliver = PICTURE, DELIVER
        rendering = self.renderer.render(
            source,
            way.image_pipeline or "",
            overlays=overlays,
            deliver=deliver,
            progress=partial(tell_pixels, progress, begin),
        )
        rendered = await stack.enter_async_context(rendering)
        return [Output(rendered.path, rendered.content_type, rendered.width, rendered.height)]

    async def _before(
        self,
        stack: AsyncExitStack,
        original: Original,
        way: Route,
        overlays: Mapping[str, ImageSource],
        progress: Progress,
        name: str,
    ) -> Sequence[Output]:
        """What is made of a film, a sound or a document."""
        media, path = original.media, original.path
        told = partial(tell, progress, PICTURE if way.image_pipeline is not None else STORE)
        if media.kind is Kind.DOCUMENT:
            making = self.documents.render(path, media.content_type, way.steps, told)
        else:
            film = AvSource.of(path, media.content_type, original.info)
            making = self.films.render(film, way.steps, overlays, told, name=name)
        return await stack.enter_async_context(making)


def tell(progress: Progress, end: int, part: float) -> None:
    """`part`: 0 to 1."""
    progress.report("render", BEGIN + (end - BEGIN) * part)


def tell_pixels(progress: Progress, begin: int, percent: int) -> None:
    """`percent`: of the pixels. When all are computed, the slower formats have just begun."""
    if percent < 100:
        progress.report("render", begin + (STORE - begin) * percent * 0.006)
    else:
        progress.report("encode", begin + (STORE - begin) * 0.6)
