"""Upload sessions and their parts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from media_service.access.owner import Owner
from media_service.access.role import Role
from media_service.errors import Fault
from media_service.idempotency.model import KeyClaim, RequestKey
from media_service.ids import new_id
from media_service.media.model import Attributes, Media
from media_service.media.policy import NO_POLICIES, Policies
from media_service.quotas.model import Charged
from media_service.storage.buffer import Buffer
from media_service.storage.checksums import Checksums
from media_service.storage.driver import PartName, StoredPart

KIB = 1 << 10
MIB = 1 << 20


class UploadState(StrEnum):
    ACTIVE = "ACTIVE"
    VERIFYING = "VERIFYING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"

    @property
    def final(self) -> bool:
        return self not in {UploadState.ACTIVE, UploadState.VERIFYING}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSpec:
    """What the caller declared about an upload. Empty or None means not declared.

    `owner` is the owner that the caller asked for. `Upload.owner` is the effective one. Unless
    `visibility_stated`, policies decide the visibility. `media_id`: of the media whose file it
    replaces. `if_etag`: the etag that this media must still have when the upload completes.
    """

    filename: str = ""
    content_type: str = ""
    size_bytes: int | None = None
    max_size_bytes: int | None = None
    checksums: Checksums = field(default_factory=Checksums)
    project_id: str = ""
    owner: Owner | None = None
    attributes: Attributes = field(default_factory=Attributes)
    visibility_stated: bool = True
    media_id: str = ""
    if_etag: str = ""

    @property
    def replaces(self) -> bool:
        return self.media_id != ""

    @property
    def size_limit(self) -> int | None:
        """The maximum size in bytes that the caller declared, or None."""
        return self.max_size_bytes if self.size_bytes is None else self.size_bytes

    def under(self, policies: Policies) -> "UploadSpec":
        """The same with the defaults of the policies."""
        if self.visibility_stated or not policies.stated:
            return self
        visible = replace(self.attributes, visibility=policies.default_visibility)
        return replace(self, attributes=visible)


@dataclass(frozen=True, slots=True)
class NewUpload:
    """An upload to create, with the ids of the upload, its media and its blob. `key` makes the
    creation idempotent. `policies`: those that apply to it. `share_link_id`: of the link by which a
    guest uploads."""

    spec: UploadSpec
    owner: Owner
    key: RequestKey | None = None
    policies: Policies = NO_POLICIES
    share_link_id: str | None = None
    upload_id: str = field(default_factory=new_id)
    media_id: str = field(default_factory=new_id)
    blob_id: str = field(default_factory=new_id)

    @property
    def charged(self) -> Charged:
        return Charged(self.owner, self.spec.project_id)

    @property
    def claim(self) -> KeyClaim | None:
        return KeyClaim(self.key, self.upload_id) if self.key else None


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes [offset, offset + size) of the file, provided that all earlier parts are stored.

    A part is immutable once it is counted or claimed. If `stored` is False, a caller claimed the
    part, but it is not known to be durable. If `signed`, the claim is for a signed URL, and the
    client may send the bytes directly to the store.
    """

    number: int
    offset: int
    size: int
    crc32c: int
    epoch: int
    sealed: bool
    stored: bool = True
    signed: bool = False
    # The part is not counted yet. Different bytes can replace it until the upload completes.
    replaceable: bool = False

    @property
    def name(self) -> PartName:
        return PartName(self.number, self.epoch)

    @property
    def etag(self) -> str:
        """Identifies the bytes. Only a writer with a different epoch can replace them."""
        return f"{self.epoch:x}-{self.size:x}-{self.crc32c:08x}"

    @property
    def in_store(self) -> StoredPart:
        return StoredPart(self.name, self.size, self.sealed, self.crc32c)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Durable bytes of an upload that its writer of `epoch` asks to count. `parts` are those that
    changed. `last`: the writer sends no bytes after them. `expiry`: the upload then lives for this
    time without new bytes."""

    upload_id: str
    epoch: int
    committed_size: int
    parts: Sequence[Part]
    expiry: timedelta
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    upload_id: str
    media_id: str
    spec: UploadSpec
    owner: Owner
    state: UploadState
    blob_id: str
    store_session: str
    # The fencing token. Opening a writer increments it. Checkpoints of older writers are refused.
    epoch: int
    # The number of the part that starts at `committed_size`.
    next_part: int
    # The epoch in which callers began to put parts. None while streams write.
    parts_since: int | None
    # True if no earlier writer can still send a part that was not counted.
    settled: bool
    committed_size: int
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    fault: Fault | None = None
    # Of the caller for whom it was loaded.
    role: Role = Role.NONE
    # Of the same caller on its project, if it was loaded to be written. OWNER if it is in none.
    project_role: Role = Role.NONE
    # Those that applied when it was created.
    policies: Policies = NO_POLICIES
    # Whether a list of blocked files applies to it, if it was loaded to be completed.
    screened: bool = False
    # The version of its media that it has created, once it is FINISHED.
    version: int = 1


@dataclass(frozen=True, slots=True)
class UploadResult:
    """An upload, and its media if the upload is FINISHED."""

    upload: Upload
    media: Media | None
    # The minimum bytes of an append that does not complete the upload. 0 means no minimum.
    min_append_size: int = 0
    max_part_size: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next bytes of a file.

    If `offset` is None, they continue at the position of the stream. `crc32c` is the checksum of
    `data`, if known.
    """

    data: Buffer
    offset: int | None = None
    crc32c: int | None = None
    finish: bool = False
    checksums: Checksums = field(default_factory=Checksums)
