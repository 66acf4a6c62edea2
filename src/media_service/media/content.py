"""What can be read."""

from dataclasses import dataclass
from datetime import datetime

from media_service.blobs.model import Blob
from media_service.storage.checksums import Checksums


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to be read, of an original, a rendition or a picture made just now, and how they are to
    be called.

    `source`: where they are, or they themselves. `modified`: when it became what it is; content
    never changes, what is another has another etag. `followed`: at the same address there may be
    another soon.
    """

    source: Blob | bytes
    etag: str
    size_bytes: int
    checksums: Checksums
    content_type: str
    filename: str
    modified: datetime
    followed: bool = False


def stored(blob: Blob, content_type: str, filename: str, modified: datetime) -> Content:
    """Content that is known by its blob."""
    etag = f'"{blob.blob_id}"'
    return Content(blob, etag, blob.size_bytes, blob.checksums, content_type, filename, modified)
