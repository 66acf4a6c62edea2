"""Where anybody reads what is public."""

from dataclasses import dataclass

from media_service.blobs.model import PUBLIC
from media_service.media.model import STREAM, Media, Rendition


@dataclass(frozen=True, slots=True)
class PublicUrls:
    """`objects`: what stands before keys of the public store; a CDN may read that by itself.
    `streams`: what stands before media ids, of streams, which this service puts together."""

    objects: str
    streams: str

    def of(self, media: Media, rendition: Rendition) -> str:
        """Empty if nobody else may read it."""
        if not media.published:
            return ""
        if rendition.name == STREAM:
            return f"{self.streams}/{media.media_id}/master.m3u8"
        return f"{self.objects}/{rendition.blob.key}" if rendition.blob.store == PUBLIC else ""
