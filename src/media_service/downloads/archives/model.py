"""Archives and their files."""

from dataclasses import dataclass
from datetime import datetime

from media_service.blobs.model import Blob
from media_service.downloads.archives.zip_format import File
from media_service.media.content import Use


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of an archive: the original of a media, or a rendition if `rendition` names one.
    `position`: its place, from 0. `crc32`: None if it is unknown."""

    position: int
    media_id: str
    version: int
    rendition: str
    blob: Blob
    file: File
    crc32: int | None = None

    @property
    def use(self) -> Use:
        return Use.VIEW if self.rendition else Use.DOWNLOAD


@dataclass(frozen=True, slots=True)
class Archive:
    """`directory_start`: where the central directory starts. `skipped`: how many media were left
    out when it was created."""

    archive_id: str
    filename: str
    file_count: int
    directory_start: int
    size_bytes: int
    create_time: datetime
    expire_time: datetime
    skipped: int = 0
