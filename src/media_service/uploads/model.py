"""Upload sessions and their parts."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from media_service.access.owner import Owner
from media_service.errors import Fault
from media_service.media.model import Media
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


@dataclass(frozen=True, slots=True)
class UploadSpec:
    """What the caller declared. `content_type` is empty and `size_bytes` None if not declared."""

    upload_id: str
    filename: str = ""
    content_type: str = ""
    size_bytes: int | None = None
    checksums: Checksums = field(default_factory=Checksums)
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes [offset, offset + size) of the whole, if all parts before are here; immutable once
    counted or claimed. `stored` False: claimed by a caller, and not known to be durable; `signed`:
    by one who may send it past this service."""

    number: int
    offset: int
    size: int
    crc32c: int
    epoch: int
    sealed: bool
    stored: bool = True
    signed: bool = False

    @property
    def name(self) -> PartName:
        return PartName(self.number, self.epoch)

    @property
    def in_store(self) -> StoredPart:
        return StoredPart(self.name, self.size, self.sealed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    spec: UploadSpec
    owner: Owner
    state: UploadState
    blob_id: str
    store_session: str
    epoch: int
    # The number of the part that begins at `committed_size`.
    next_part: int
    # The epoch in which callers began to put parts; None while streams write.
    parts_since: int | None
    # Whether no writer may still send a part that was not counted.
    settled: bool
    committed_size: int
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    fault: Fault | None = None

    @property
    def upload_id(self) -> str:
        return self.spec.upload_id


@dataclass(frozen=True, slots=True)
class UploadResult:
    """An upload, and its media once there is one."""

    upload: Upload
    media: Media | None
    # What an append needs that does not complete it; 0: any number of bytes.
    min_append_size: int = 0
    max_part_size: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the whole as it arrives. `offset` None: wherever the stream is. `crc32c`: of
    `data`, if it is known."""

    data: Buffer
    offset: int | None = None
    crc32c: int | None = None
    finish: bool = False
    checksums: Checksums = field(default_factory=Checksums)
