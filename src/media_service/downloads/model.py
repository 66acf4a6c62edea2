"""What can be read."""

from dataclasses import dataclass
from datetime import datetime

from media_service.media.model import Blob


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to be read, an original's or a rendition's, and how they are to be called."""

    blob: Blob
    content_type: str
    filename: str
    # When it became what it is: content never changes, another version is another blob.
    modified: datetime
