"""Content: bytes that an answer serves."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from media_service.blobs.model import Blob
from media_service.storage.checksums import Checksums


class Use(StrEnum):
    """How reads of a media are counted."""

    VIEW = "VIEW"
    DOWNLOAD = "DOWNLOAD"


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an original, a rendition or a rendered image, and how HTTP describes them.

    `body`: their blob, or the bytes themselves. Content is immutable: other bytes have another
    etag. `revalidate`: the URL may soon have other content. `media_id` and `use`: what a read from
    the start counts as; empty and None: nothing.
    """

    body: Blob | bytes
    etag: str
    size_bytes: int
    checksums: Checksums
    content_type: str
    filename: str
    modified: datetime
    revalidate: bool = False
    media_id: str = ""
    use: Use | None = None


def stored(
    blob: Blob,
    content_type: str,
    filename: str,
    modified: datetime,
    media_id: str = "",
    use: Use | None = None,
) -> Content:
    """The content of a blob, whose id is the etag."""
    return Content(
        blob,
        f'"{blob.blob_id}"',
        blob.size_bytes,
        blob.checksums,
        content_type,
        filename,
        modified,
        media_id=media_id,
        use=use,
    )
