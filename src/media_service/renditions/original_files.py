"""Opens originals as local files for renderers."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from media_service.codecs.image.source import ImageSource
from media_service.codecs.inspection import Info, kind_of
from media_service.codecs.inspector import Inspector
from media_service.media.model import Kind, Media
from media_service.renditions.local_copies import LocalCopies
from media_service.storage.blob_store import BlobStore


@dataclass(frozen=True, slots=True)
class Original:
    """The original of a media as a file. `info` is the result of inspection."""

    media: Media
    path: Path
    info: Info

    @property
    def image(self) -> ImageSource:
        """The original as the source of an image pipeline."""
        return ImageSource.of(self.path, self.media.content_type, self.info)


class OriginalFiles:
    """Opens originals. `stores` maps the names in `Blob.store` to stores."""

    def __init__(
        self, stores: Mapping[str, BlobStore], copies: LocalCopies, inspector: Inspector
    ) -> None:
        self._stores = stores
        self._copies = copies
        self._inspector = inspector

    async def open(self, stack: AsyncExitStack, media: Media) -> Original:
        """Opens an original. The file exists until the stack closes.

        Raises DataLoss (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE), and the errors of
        `Inspector.inspect`.
        """
        blob, info = media.blob, media.info
        path = await stack.enter_async_context(
            self._copies.open(self._stores[blob.store], blob, keep=media.kind is Kind.VIDEO)
        )
        if info is None:  # the INGEST job has not inspected it yet, or has failed
            found = await self._inspector.inspect(path, media.kind, media.content_type)
            info, kind = found.info, Kind(kind_of(found.info))
            media = replace(media, kind=kind, content_type=found.content_type)
        return Original(media, path, info)

    async def open_image(self, stack: AsyncExitStack, media: Media) -> ImageSource:
        """Opens the original of an image. Raises the same errors as `open`."""
        return (await self.open(stack, media)).image
