"""Content: bytes that a response serves."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from media_service.blobs.model import Blob
from media_service.storage.checksums import Checksums
from media_service.storage.piece_size import PieceSize


class Use(StrEnum):
    """How reads of a media are counted."""

    VIEW = "VIEW"
    DOWNLOAD = "DOWNLOAD"


class Body(Protocol):
    """Bytes that are written while they are read."""

    def read(self, start: int, end: int, size: PieceSize) -> AsyncGenerator[bytes, None]:
        """Yields the bytes [start, end)."""
        ...


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an original, a rendition or a rendered image, with their HTTP metadata.

    `body` is a blob, the bytes themselves, or what writes them. Content is immutable: different
    bytes have a different etag. `revalidate` means that the URL may soon have different content.
    `media_id` and `version`: of the media that it belongs to. If `use` is set, a read from the
    start counts as one use of it.
    """

    body: Blob | bytes | Body
    etag: str
    size_bytes: int
    checksums: Checksums
    content_type: str
    filename: str
    modified: datetime
    revalidate: bool = False
    media_id: str = ""
    version: int = 0
    use: Use | None = None


def stored(
    blob: Blob,
    content_type: str,
    filename: str,
    modified: datetime,
    media_id: str,
    version: int,
    use: Use | None = None,
) -> Content:
    """Returns the content of a blob. Its etag is the blob id."""
    return Content(
        blob,
        f'"{blob.blob_id}"',
        blob.size_bytes,
        blob.checksums,
        content_type,
        filename,
        modified,
        media_id=media_id,
        version=version,
        use=use,
    )
