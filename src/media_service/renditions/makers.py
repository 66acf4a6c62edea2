"""What makes what: pictures, films and sounds, documents."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from media_service.codecs.av_renderer import Films
from media_service.codecs.document_renderer import Documents
from media_service.codecs.image.source import Source
from media_service.codecs.image_renderer import Renderer
from media_service.codecs.output import Made
from media_service.codecs.pipeline.route import Way
from media_service.codecs.video.source import Film
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
    renderer: Renderer
    films: Films
    documents: Documents

    async def make(
        self,
        stack: AsyncExitStack,
        original: Original,
        way: Way,
        overlays: Mapping[str, Source],
        progress: Progress,
        *,
        name: str,
    ) -> Sequence[Made]:
        """What a pipeline makes, the main thing last, which will be called `name`; the files are
        there for as long as the stack lasts. Raises as `Renderer.render`,
        `Films.make` and `Documents.make`."""
        begin, deliver = BEGIN, NOTHING
        if original.media.kind is Kind.IMAGE:
            source = original.picture
        else:
            made = await self._before(stack, original, way, overlays, progress, name)
            if way.pictures is None:
                return made
            picture = made[-1]
            source = Source(picture.path, picture.content_type, picture.width, picture.height)
            begin, deliver = PICTURE, DELIVER
        rendering = self.renderer.render(
            source,
            way.pictures or "",
            overlays=overlays,
            deliver=deliver,
            progress=partial(tell_pixels, progress, begin),
        )
        rendered = await stack.enter_async_context(rendering)
        return [Made(rendered.path, rendered.content_type, rendered.width, rendered.height)]

    async def _before(
        self,
        stack: AsyncExitStack,
        original: Original,
        way: Way,
        overlays: Mapping[str, Source],
        progress: Progress,
        name: str,
    ) -> Sequence[Made]:
        """What is made of a film, a sound or a document."""
        media, path = original.media, original.path
        told = partial(tell, progress, PICTURE if way.pictures is not None else STORE)
        if media.kind is Kind.DOCUMENT:
            making = self.documents.make(path, media.content_type, way.steps, told)
        else:
            film = Film.of(path, media.content_type, original.info)
            making = self.films.make(film, way.steps, overlays, told, name=name)
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
