"""Use cases of reading content."""

from collections.abc import AsyncGenerator

from media_service.access.principal import Principal
from media_service.errors import OutOfRange, Reason
from media_service.media.model import Media
from media_service.media.reader import MediaReader
from media_service.media.service import gone
from media_service.storage.blobs import BlobStore


class DownloadService:
    def __init__(self, reader: MediaReader, store: BlobStore) -> None:
        self._reader = reader
        self._store = store

    async def open(self, principal: Principal, media_id: str) -> Media:
        """The media whose content the caller wants. Raises NotFound, or Gone (MEDIA_DELETED)."""
        media = await self._reader.get(principal, media_id)
        if media.delete_time is not None:
            raise gone(media_id)
        return media

    def read(self, media: Media, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes [start, end) of the original. Close the iterator to stop early."""
        return self._store.read(media.blob.key, start, end - start)


def not_satisfiable(size: int) -> OutOfRange:
    return OutOfRange(
        Reason.RANGE_NOT_SATISFIABLE,
        f"The range lies outside of the content, which has {size} bytes.",
        complete_size=size,
    )


def resolve(offset: int, limit: int, size: int) -> tuple[int, int]:
    """[start, end) from an offset, negative: from the end, and a limit, 0: none.

    Raises OutOfRange (RANGE_NOT_SATISFIABLE) if it begins past the end.
    """
    start = offset if offset >= 0 else max(0, size + offset)
    if start > size or (start == size and size > 0):
        raise not_satisfiable(size)
    return start, min(size, start + limit) if limit else size
