"""The URLs of published content."""

from dataclasses import dataclass

from media_service.blobs.model import PUBLIC
from media_service.downloads.playback import MASTER, STREAMS
from media_service.downloads.read_links import path_name
from media_service.downloads.service import ORIGINALS
from media_service.media.model import STREAM, Media, Rendition


@dataclass(frozen=True, slots=True)
class PublicUrls:
    """`objects`: the prefix for keys of the public store, possibly of a CDN. `service`: the prefix
    for paths that only this service serves."""

    objects: str
    service: str

    def of_original(self, media: Media) -> str:
        """Empty if the original is not public."""
        if not (media.current and media.original_published):
            return ""
        name = path_name(media.filename)
        return f"{self.service}/{ORIGINALS}/{media.media_id}/{media.version}/{name}"

    def of(self, media: Media, rendition: Rendition) -> str:
        """Empty if the rendition is not public, such as one of an earlier version."""
        if not (media.current and media.published):
            return ""
        if rendition.name == STREAM:
            return f"{self.service}/{STREAMS}/{media.media_id}/{MASTER}"
        return f"{self.objects}/{rendition.blob.key}" if rendition.blob.store == PUBLIC else ""
