"""A requested render, and the resulting image."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from media_service.access.owner import Owner
from media_service.blobs.model import Blob
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.media.model import Media
from media_service.storage.checksums import Checksums

# Increase this number when the codecs produce different bytes for the same pipeline.
ENGINE_VERSION = 1
# The id of the media, and the key of the render.
RenderId = tuple[str, bytes]


@dataclass(frozen=True)
class RenderSpec:
    """An image to render from a media. `overlays` has the other media that the pipeline reads, by
    id. `negotiated` means that the format depends on the Accept header. `charged`: whose share of
    the renders it takes, see `Principal.charged`."""

    media: Media
    overlays: Mapping[str, Media]
    pipeline: Pipeline
    negotiated: bool
    charged: Owner

    @cached_property
    def key(self) -> bytes:
        """Identifies the resulting bytes, before they exist."""
        overlays = {media_id: media.blob.blob_id for media_id, media in self.overlays.items()}
        inputs = [ENGINE_VERSION, self.media.blob.blob_id, overlays, self.pipeline.text]
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).digest()

    @property
    def render_id(self) -> RenderId:
        return self.media.media_id, self.key

    @property
    def etag(self) -> str:
        return f'"{self.key.hex()[:32]}"'

    @property
    def modified(self) -> datetime:
        """The earliest time at which the render could exist."""
        return max(media.create_time for media in (self.media, *self.overlays.values()))


@dataclass(frozen=True, slots=True)
class Render:
    """A rendered image: `body` is its blob, or its bytes until they are stored."""

    body: Blob | bytes
    content_type: str
    size_bytes: int
    checksums: Checksums
