"""Use cases of reading content."""

from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta

from media_service.access.principal import Principal
from media_service.downloads.disposition import content_disposition
from media_service.errors import OutOfRange, Reason
from media_service.media.content import Content, stored
from media_service.media.filenames import with_extension
from media_service.media.model import Media
from media_service.media.reader import MediaReader, PublicReader
from media_service.media.service import find_rendition, readable
from media_service.storage.blob_store import READ_CHUNK, BlobStore


class DownloadService:
    """`stores`: by name, as blobs name theirs."""

    def __init__(
        self, reader: MediaReader, public: PublicReader, stores: Mapping[str, BlobStore]
    ) -> None:
        self._reader = reader
        self._public = public
        self._stores = stores

    async def open(self, principal: Principal, media_id: str, rendition: str = "") -> Content:
        """What the caller wants to read; `rendition` empty: the original.

        Raises NotFound (MEDIA_NOT_FOUND, RENDITION_NOT_FOUND), FailedPrecondition
        (MEDIA_DELETED, MEDIA_QUARANTINED).
        """
        return self.content(await self.media(principal, media_id), rendition)

    async def media(self, principal: Principal, media_id: str) -> Media:
        """The caller's media, if its content may be read. Raises as `open`."""
        return readable(await self._reader.get(principal, media_id))

    def content(self, media: Media, rendition: str) -> Content:
        """Raises NotFound (RENDITION_NOT_FOUND)."""
        if rendition:
            found = find_rendition(media, rendition)
            filename = with_extension(media.filename, found.content_type, f"-{found.name}")
            return stored(found.blob, found.content_type, filename, found.create_time)
        return self.original(media)

    def original(self, media: Media) -> Content:
        return stored(media.blob, media.content_type, media.filename, media.create_time)

    async def public(self, key: str) -> Content:
        """What anybody may read under this key of the public store. It has no file name: that is
        the owner's to tell. Raises NotFound (MEDIA_NOT_FOUND)."""
        found = await self._public.get(key)
        return stored(found.blob, found.content_type, "", found.create_time)

    def read(self, content: Content, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes [start, end). Close the iterator to stop early."""
        source = content.source
        if isinstance(source, bytes):
            return pieces(source, start, end)
        return self._stores[source.store].read(source.key, start, end - start)

    async def store_url(
        self, content: Content, lifetime: timedelta, *, attachment: bool
    ) -> str | None:
        """A URL that reads the content past this service; None if its store has none."""
        source, kind = content.source, content.content_type
        if isinstance(source, bytes):
            return None
        disposition = content_disposition(content.filename, kind, attachment=attachment)
        driver = self._stores[source.store].driver
        return await driver.sign_read(source.key, lifetime, kind, disposition)


async def pieces(data: bytes, start: int, end: int) -> AsyncGenerator[bytes, None]:
    """Bytes [start, end) as a store gives them out."""
    for at in range(start, end, READ_CHUNK):
        yield data[at : min(at + READ_CHUNK, end)]


def not_satisfiable(size: int) -> OutOfRange:
    return OutOfRange(
        Reason.RANGE_NOT_SATISFIABLE,
        f"The range lies outside of the content, which has {size} bytes.",
        complete_size_bytes=size,
    )


def resolve(offset: int, limit: int, size: int) -> tuple[int, int]:
    """[start, end) from an offset, negative: from the end, and a limit, 0: none.

    Raises OutOfRange (RANGE_NOT_SATISFIABLE) if it begins past the end.
    """
    start = offset if offset >= 0 else max(0, size + offset)
    if start > size or (start == size and size > 0):
        raise not_satisfiable(size)
    return start, min(size, start + limit) if limit else size
