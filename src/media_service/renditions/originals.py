"""The bytes of media, as files that others are made of."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media_service.codecs.image.source import ImageSource
from media_service.codecs.inspector import Inspector
from media_service.media.model import Kind, Media
from media_service.renditions.copies import Copies
from media_service.storage.blob_store import BlobStore


@dataclass(frozen=True, slots=True)
class Original:
    """A media's bytes as a file. `info`: as `Media.info`."""

    media: Media
    path: Path
    info: Mapping[str, Any]

    @property
    def picture(self) -> ImageSource:
        """As a picture."""
        return ImageSource.of(self.path, self.media.content_type, self.info)


class Files:
    """`stores`: by name, as blobs name theirs."""

    def __init__(
        self, stores: Mapping[str, BlobStore], copies: Copies, inspector: Inspector
    ) -> None:
        self._stores = stores
        self._copies = copies
        self._inspector = inspector

    async def open(self, opened: AsyncExitStack, media: Media) -> Original:
        """A media's bytes, for as long as the stack lasts.

        Raises DataLoss (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE), and as
        `Inspector.inspect`.
        """
        blob, info = media.blob, media.info
        path = await opened.enter_async_context(
            self._copies.open(self._stores[blob.store], blob, keep=media.kind is Kind.VIDEO)
        )
        if info is None:  # its own job has not come to it yet, or could make nothing of it
            info = (await self._inspector.inspect(path, media.kind, media.content_type)).info
        return Original(media, path, info)

    async def picture(self, opened: AsyncExitStack, media: Media) -> ImageSource:
        """As `open`, of a picture."""
        return (await self.open(opened, media)).picture
