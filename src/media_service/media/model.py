"""Media and renditions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from media_service.access.owner import Owner
from media_service.access.role import Role
from media_service.blobs.model import PUBLIC, RAW, Blob
from media_service.codecs.inspection import ImageInfo, Info, PrivateInfo
from media_service.errors import Fault

# The name of the rendition that GetStream plays.
STREAM = "stream"


class MediaState(StrEnum):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"
    QUARANTINED = "QUARANTINED"


class ScanState(StrEnum):
    """How the virus scan of a version ended. NOT_SCANNED: it was stored while the service did not
    scan. TOO_LARGE is not clean: the engine has not scanned all of it."""

    NOT_SCANNED = "NOT_SCANNED"
    PENDING = "PENDING"
    CLEAN = "CLEAN"
    INFECTED = "INFECTED"
    FAILED = "FAILED"
    TOO_LARGE = "TOO_LARGE"


class Visibility(StrEnum):
    """What anyone with the URL can read: nothing, the renditions, or the renditions and the
    original."""

    PRIVATE = "PRIVATE"
    PUBLIC = "PUBLIC"
    PUBLIC_ORIGINAL = "PUBLIC_ORIGINAL"

    def exceeds(self, other: "Visibility") -> bool:
        """Whether anyone can read more than with the other one."""
        order = list(Visibility)
        return order.index(self) > order.index(other)


class Kind(StrEnum):
    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    AUDIO = "AUDIO"
    DOCUMENT = "DOCUMENT"


@dataclass(frozen=True, slots=True)
class Scan:
    """The virus scan of a version. `held`: the version is not served because of it. `reason` says
    why it FAILED, and `threat` is the engine's name of what INFECTED it. `engine`: the engine and
    its signatures; empty until there is a result."""

    state: ScanState = ScanState.NOT_SCANNED
    held: bool = False
    reason: str = ""
    threat: str = ""
    engine: str = ""
    time: datetime | None = None


NOT_SCANNED = Scan()


@dataclass(frozen=True, slots=True)
class NewRendition:
    """A rendition to add.

    `pipeline` is the canonical text form of the pipeline that rendered it; empty for thumbnails.
    `version` is the version of the original that it was rendered from. `width` and `height` are in
    pixels; 0 if it has no size.
    """

    name: str
    content_type: str
    pipeline: str = ""
    version: int = 1
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Rendition:
    """A stored rendition. `create_time` is when its current bytes were stored. For the other
    fields, see `NewRendition`."""

    name: str
    content_type: str
    blob: Blob
    create_time: datetime
    pipeline: str
    version: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """The fields of a media that callers set, besides its name and its project."""

    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    visibility: Visibility = Visibility.PRIVATE
    capture_time: datetime | None = None
    expire_time: datetime | None = None
    rating: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """What a client can draw before it has loaded the image. Empty if there is no placeholder.
    `hashes`: the perceptual hashes of the same image, or of frames, by which near duplicates are
    found; None of a frame that cannot be compared."""

    blurhash: str = ""
    dominant_color: str = ""
    hashes: Sequence[str | None] = ()


@dataclass(frozen=True, slots=True)
class NewMedia:
    """A media to create, or a new version of one. `stripped`: the metadata of the original was
    removed before."""

    media_id: str
    owner: Owner
    kind: Kind
    content_type: str
    filename: str
    blob: Blob
    project_id: str = ""
    attributes: Attributes = field(default_factory=Attributes)
    scan: Scan = NOT_SCANNED
    strip_pending: bool = False
    stripped: bool = False

    def created(self, time: datetime) -> "Media":
        """Returns the media as created at `time`."""
        stated = self.attributes
        return Media(
            media_id=self.media_id,
            owner=self.owner,
            state=MediaState.PENDING,
            kind=self.kind,
            content_type=self.content_type,
            uploaded_type=self.content_type,
            size_bytes=self.blob.size_bytes,
            version=1,
            revision=1,
            create_time=time,
            update_time=time,
            blob=self.blob,
            filename=self.filename,
            original_filename=self.filename,
            project_id=self.project_id,
            title=stated.title,
            description=stated.description,
            tags=stated.tags,
            labels=stated.labels,
            visibility=stated.visibility,
            capture_time=stated.capture_time,
            expire_time=stated.expire_time,
            rating=stated.rating,
            metadata=stated.metadata,
            scan=self.scan,
            strip_pending=self.strip_pending,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One media with the blob and the virus scan of its current version. `info` and `private_info`
    are the results of inspection. `info` is None until inspection ends. `uploaded_type` is the
    content type that the first bytes indicated, which inspection may have changed. `stripped`: the
    metadata of the original was removed. `refused`: by a policy or a blocklist, and no inspection
    has accepted it since. `role` and `signer_url_key`: of the caller for whom it was loaded.

    With `current` false, it is the media as another version shows it: content, state, scan and
    results of inspection are those of `version`. `version_time`: when this version was added.
    `latest_version`: the highest number that was given. `restored_from`: the version of which this
    one is a copy, or 0. `renditions_revision` changes whenever the renditions do."""

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
    uploaded_type: str = ""
    fault: Fault | None = None
    project_id: str = ""
    filename: str = ""
    original_filename: str = ""
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    capture_time: datetime | None = None
    expire_time: datetime | None = None
    rating: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ready_time: datetime | None = None
    blurhash: str = ""
    dominant_color: str = ""
    view_count: int = 0
    download_count: int = 0
    info: Info | None = None
    private_info: PrivateInfo = PrivateInfo()
    delete_time: datetime | None = None
    purge_time: datetime | None = None
    visibility: Visibility = Visibility.PRIVATE
    renditions: tuple[Rendition, ...] = ()
    renditions_revision: int = 0
    scan: Scan = NOT_SCANNED
    strip_pending: bool = False
    stripped: bool = False
    refused: bool = False
    url_key: int = 0
    signer_url_key: int = 0
    role: Role = Role.NONE
    current: bool = True
    latest_version: int = 1
    version_time: datetime | None = None
    version_filename: str = ""
    restored_from: int = 0

    @property
    def url_keys(self) -> str:
        """The keys that its signed URLs name: its own, and that of their signer."""
        return f"{self.url_key}.{self.signer_url_key}"

    @property
    def content_time(self) -> datetime:
        """When the original was last replaced."""
        return self.version_time or self.create_time

    @property
    def changed_from(self) -> str:
        """The content type before inspection changed it, or an empty text."""
        return "" if self.uploaded_type == self.content_type else self.uploaded_type

    @property
    def published(self) -> bool:
        """Whether anyone can read its renditions now."""
        return (
            self.visibility is not Visibility.PRIVATE
            and self.delete_time is None
            and self.state is not MediaState.QUARANTINED
            and not self.scan.held
            and not self.strip_pending
            and not self.refused
        )

    @property
    def original_published(self) -> bool:
        """Whether anyone can read its original now."""
        return self.published and self.visibility is Visibility.PUBLIC_ORIGINAL

    @property
    def rendition_store(self) -> str:
        """The name of the store that its renditions belong in."""
        return PUBLIC if self.published else RAW

    @property
    def misplaced(self) -> tuple[Rendition, ...]:
        """The renditions that are not in the store that they belong in."""
        return tuple(r for r in self.renditions if r.blob.store != self.rendition_store)

    @property
    def image(self) -> ImageInfo:
        """The info of an image. Raises ValueError if it is not an inspected image."""
        if not isinstance(self.info, ImageInfo):
            raise ValueError(f"media {self.media_id} is not an inspected image")
        return self.info

    @property
    def rendered_by_pipelines(self) -> tuple[Rendition, ...]:
        """The renditions that pipelines rendered."""
        return tuple(r for r in self.renditions if r.pipeline)

    def rendered(self, name: str, pipeline: str) -> Rendition | None:
        """The rendition with this name, if this pipeline rendered it from the current version."""
        wanted = (name, pipeline, self.version)
        found = (r for r in self.renditions if (r.name, r.pipeline, r.version) == wanted)
        return next(found, None)

    @property
    def etag(self) -> str:
        """The etag of the resource. Its content has a separate etag: the id of its blob."""
        return etag_of(self.revision)


def etag_of(revision: int) -> str:
    """The etag of a media that was changed so many times."""
    return f'"{revision}"'


@dataclass(frozen=True, slots=True)
class Listed:
    """A media on a page, and its values of the keys of the list."""

    media: Media
    key: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Total:
    """How many media a list has."""

    number: int
    approximate: bool = False
