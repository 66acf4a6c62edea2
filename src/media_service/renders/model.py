"""A picture that somebody asks for, and the same once it is made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from media_service.blobs.model import Blob
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.media.model import Media
from media_service.storage.checksums import Checksums

# Of the code that makes pictures. Raise it when the same pipeline gives other bytes than before.
ENGINE = 1
# Of a picture: the media's id and its key.
Identity = tuple[str, bytes]


@dataclass(frozen=True)
class Picture:
    """What is to be made of a media. `overlays`: the other media it takes, by id. `negotiated`:
    its format depends on what the client takes."""

    media: Media
    overlays: Mapping[str, Media]
    plan: Pipeline
    negotiated: bool

    @cached_property
    def key(self) -> bytes:
        """The same whenever the same bytes come out, and known before they do."""
        overlays = {media_id: media.blob.blob_id for media_id, media in self.overlays.items()}
        made_of = [ENGINE, self.media.blob.blob_id, overlays, self.plan.text]
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).digest()

    @property
    def identity(self) -> Identity:
        return self.media.media_id, self.key

    @property
    def etag(self) -> str:
        return f'"{self.key.hex()[:32]}"'

    @property
    def modified(self) -> datetime:
        """When it could have been made first."""
        return max(media.create_time for media in (self.media, *self.overlays.values()))


@dataclass(frozen=True, slots=True)
class Render:
    """A picture that was made. `source`: where its bytes are, or they themselves."""

    source: Blob | bytes
    content_type: str
    size_bytes: int
    checksums: Checksums
