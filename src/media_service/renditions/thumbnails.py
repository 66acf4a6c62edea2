"""The small pictures that every picture gets, and how it looks in a few characters."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.errors import MediaError
from media_service.jobs.attempt import TRANSIENT
from media_service.media.model import Kind, Media, NewRendition
from media_service.renditions.keep import Renditions

log = logging.getLogger(__name__)


class Thumbnails:
    """`sizes`: the longest side of each, in pixels, by the name of the rendition."""

    def __init__(
        self, renderer: ImageRenderer, renditions: Renditions, sizes: Mapping[str, int]
    ) -> None:
        self._renderer = renderer
        self._renditions = renditions
        self._sizes = sizes

    async def make(self, media: Media, path: Path, info: Mapping[str, Any]) -> tuple[str, str]:
        """Adds them; returns the BlurHash and the dominant color, empty if unknown.

        An image that cannot be rendered is usable all the same: this raises only what may work
        later (`TRANSIENT`).
        """
        if media.kind is not Kind.IMAGE:
            return "", ""
        original = ImageSource.of(path, media.content_type, info)
        try:
            async with self._renderer.render_thumbnails(original, self._sizes) as made:
                for name, picture in made.thumbnails.items():
                    new = NewRendition(
                        name,
                        picture.content_type,
                        version=media.version,
                        width=picture.width,
                        height=picture.height,
                    )
                    await self._renditions.add(media.media_id, new, picture.path)
                return made.blurhash, made.dominant_color.removeprefix("#")
        except TRANSIENT:
            raise
        except MediaError as error:
            log.warning("media %s has no thumbnails: %s", media.media_id, error.message)
            return "", ""
