"""The thumbnails and placeholders of images."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer, ThumbnailSet
from media_service.codecs.inspection import Info
from media_service.codecs.output import Output
from media_service.errors import MediaError
from media_service.jobs.attempt import TRANSIENT
from media_service.media.model import Kind, Media, NewRendition, Placeholder
from media_service.renditions.rendition_store import RenditionFile

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """The thumbnails of a media to store, and its placeholder."""

    files: Sequence[RenditionFile] = ()
    placeholder: Placeholder = Placeholder()


# The rendition from which the placeholder of a media is computed. For images, it is computed from
# the original.
PLACEHOLDER_RENDITIONS = {Kind.VIDEO: "poster", Kind.DOCUMENT: "preview"}


class ThumbnailRenderer:
    """Renders thumbnails. `sizes` has the longest side of each thumbnail, in pixels, by rendition
    name."""

    def __init__(self, renderer: ImageRenderer, sizes: Mapping[str, int]) -> None:
        self._renderer = renderer
        self._sizes = sizes

    @asynccontextmanager
    async def render(self, media: Media, path: Path, info: Info) -> AsyncIterator[Thumbnails]:
        """Renders the thumbnails of an image. The files exist within the context. Other kinds of
        media, and images that cannot be rendered, have no thumbnails.
        Raises only errors that a retry may resolve (`TRANSIENT`).
        """
        async with AsyncExitStack() as stack:
            thumbnails = Thumbnails()
            if media.kind is Kind.IMAGE:
                source = ImageSource.of(path, media.content_type, info)
                try:
                    rendering = self._renderer.render_thumbnails(source, self._sizes)
                    thumbnails = of(media, await stack.enter_async_context(rendering))
                except TRANSIENT:
                    raise
                except MediaError as error:
                    log.warning("media %s has no thumbnails: %s", media.media_id, error.message)
            yield thumbnails

    async def hashes(self, source: ImageSource) -> tuple[str, ...]:
        """The perceptual hashes of an image; none if it cannot be read. Raises the same errors as
        `render`."""
        try:
            async with self._renderer.render_thumbnails(source, {}) as rendered:
                return rendered.hashes
        except TRANSIENT:
            raise
        except MediaError:
            return ()

    async def placeholder(self, media: Media, name: str, output: Output) -> Placeholder | None:
        """Computes the placeholder of a video or document from its rendition `name`. Returns None
        if the placeholder comes from another rendition, or if this one is not an image. Raises the
        same errors as `render`."""
        if PLACEHOLDER_RENDITIONS.get(media.kind) != name or not output.width:
            return None
        source = ImageSource(output.path, output.content_type, output.width, output.height)
        try:
            async with self._renderer.render_thumbnails(source, {}) as rendered:
                return placeholder_of(rendered)
        except TRANSIENT:
            raise
        except MediaError as error:
            log.warning("media %s has no placeholder: %s", media.media_id, error.message)
            return None


def of(media: Media, rendered: ThumbnailSet) -> Thumbnails:
    files = [
        RenditionFile(
            NewRendition(
                name,
                image.content_type,
                version=media.version,
                width=image.width,
                height=image.height,
            ),
            image.path,
        )
        for name, image in rendered.thumbnails.items()
    ]
    return Thumbnails(files, placeholder_of(rendered))


def placeholder_of(rendered: ThumbnailSet) -> Placeholder:
    return Placeholder(rendered.blurhash, rendered.dominant_color, rendered.hashes)
