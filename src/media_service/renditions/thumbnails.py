"""The thumbnails and the BlurHash of images."""

import logging
from collections.abc import Mapping
from pathlib import Path

from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspection import Info
from media_service.errors import MediaError
from media_service.jobs.attempt import TRANSIENT
from media_service.media.model import Kind, Media, NewRendition
from media_service.renditions.rendition_store import RenditionStore

log = logging.getLogger(__name__)


class Thumbnails:
    """`sizes`: the longest side of each thumbnail in pixels, by the name of its rendition."""

    def __init__(
        self, renderer: ImageRenderer, store: RenditionStore, sizes: Mapping[str, int]
    ) -> None:
        self._renderer = renderer
        self._store = store
        self._sizes = sizes

    async def render(self, media: Media, path: Path, info: Info) -> tuple[str, str]:
        """Renders and stores the thumbnails. Returns the BlurHash and the dominant color; both
        empty for other kinds of media, and for an image that cannot be rendered.

        Raises only errors that a retry may resolve (`TRANSIENT`).
        """
        if media.kind is not Kind.IMAGE:
            return "", ""
        source = ImageSource.of(path, media.content_type, info)
        try:
            async with self._renderer.render_thumbnails(source, self._sizes) as rendered:
                for name, thumbnail in rendered.thumbnails.items():
                    new = NewRendition(
                        name,
                        thumbnail.content_type,
                        version=media.version,
                        width=thumbnail.width,
                        height=thumbnail.height,
                    )
                    await self._store.add(media.media_id, new, thumbnail.path)
                return rendered.blurhash, rendered.dominant_color.removeprefix("#")
        except TRANSIENT:
            raise
        except MediaError as error:
            log.warning("media %s has no thumbnails: %s", media.media_id, error.message)
            return "", ""
