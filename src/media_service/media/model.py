"""The catalogue's records."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from media_service.access.owner import Owner
from media_service.blobs.model import PUBLIC, RAW, Blob
from media_service.errors import Fault

# What the rendition of a film is called that GetStream plays.
STREAM = "stream"


class MediaState(StrEnum):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"
    QUARANTINED = "QUARANTINED"


class Visibility(StrEnum):
    """PUBLIC: its renditions, not its original, can be read by anybody who has their URL."""

    PRIVATE = "PRIVATE"
    PUBLIC = "PUBLIC"


class Kind(StrEnum):
    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    AUDIO = "AUDIO"
    DOCUMENT = "DOCUMENT"


@dataclass(frozen=True, slots=True)
class NewRendition:
    """A rendition to be added. `pipeline`: what it was made by, in the canonical text form, of
    which `version` of the media; empty: by something else. `width`, `height`: of a picture."""

    name: str
    content_type: str
    pipeline: str = ""
    version: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Rendition:
    """Another form of a media. `create_time`: when these bytes got this name. The rest: see
    `NewRendition`."""

    name: str
    content_type: str
    blob: Blob
    create_time: datetime
    pipeline: str
    version: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class NewMedia:
    """A media as it comes into being."""

    media_id: str
    owner: Owner
    kind: Kind
    content_type: str
    filename: str
    blob: Blob

    def born(self, time: datetime) -> "Media":
        """The media that this is from `time` on."""
        return Media(
            media_id=self.media_id,
            owner=self.owner,
            state=MediaState.PENDING,
            kind=self.kind,
            content_type=self.content_type,
            size_bytes=self.blob.size_bytes,
            version=1,
            revision=1,
            create_time=time,
            update_time=time,
            blob=self.blob,
            filename=self.filename,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One media with the blob of its current version.

    `info` holds what inspection found, with the field names of the contract's ImageInfo, VideoInfo
    or AudioInfo; `private_info` holds `exif` (name → text) and `location` (latitude, longitude).
    """

    media_id: str
    owner: Owner
    state: MediaState
    kind: Kind
    content_type: str
    size_bytes: int
    version: int
    revision: int
    create_time: datetime
    update_time: datetime
    blob: Blob
    fault: Fault | None = None
    filename: str = ""
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    info: dict[str, Any] | None = None
    private_info: dict[str, Any] = field(default_factory=dict)
    delete_time: datetime | None = None
    purge_time: datetime | None = None
    visibility: Visibility = Visibility.PRIVATE
    renditions: tuple[Rendition, ...] = ()

    @property
    def published(self) -> bool:
        """Whether anybody may read its renditions now."""
        return (
            self.visibility is Visibility.PUBLIC
            and self.delete_time is None
            and self.state is not MediaState.QUARANTINED
        )

    @property
    def home(self) -> str:
        """The name of the store where its renditions belong."""
        return PUBLIC if self.published else RAW

    @property
    def misplaced(self) -> tuple[Rendition, ...]:
        """The renditions that lie in the other store."""
        return tuple(r for r in self.renditions if r.blob.store != self.home)

    @property
    def made_by_pipelines(self) -> tuple[Rendition, ...]:
        """The renditions that somebody asked for."""
        return tuple(r for r in self.renditions if r.pipeline)

    def made(self, name: str, pipeline: str) -> Rendition | None:
        """The rendition of this name, if it was made of this version by this pipeline."""
        wanted = (name, pipeline, self.version)
        found = (r for r in self.renditions if (r.name, r.pipeline, r.version) == wanted)
        return next(found, None)

    @property
    def etag(self) -> str:
        """Of the resource; the content's is its blob."""
        return f'"{self.revision}"'
