"""Reads the content of originals and renditions."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta

from media_service.access.principal import Principal
from media_service.blobs.model import Blob
from media_service.db.audit_entry import SERVICE, AuditedCall, Category, current_call
from media_service.downloads.disposition import content_disposition
from media_service.errors import NotFound, OutOfRange, PermissionDenied, Reason
from media_service.media.content import Content, Use, stored
from media_service.media.filenames import with_extension
from media_service.media.model import Media, MediaState, Rendition
from media_service.media.reader import MediaReader, PublicReader, not_found, nothing_public
from media_service.media.service import (
    available,
    find_rendition,
    readable,
    scanned,
)
from media_service.media.versions.reader import VersionReader
from media_service.renditions.forthcoming import Forthcoming
from media_service.storage.blob_store import BlobStore
from media_service.storage.piece_size import PieceSize, PieceSizes, bytes_of

# The public path of an original: the media id, its version, and a file name, which is not checked.
ORIGINALS = "originals"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ORIGINAL = re.compile(rf"{ORIGINALS}/({UUID})/([1-9][0-9]{{0,8}})/[^/]+")


class DownloadService:
    """Opens and reads content. `stores` maps the names in `Blob.store` to stores."""

    def __init__(
        self,
        reader: MediaReader,
        public: PublicReader,
        forthcoming: Forthcoming,
        versions: VersionReader,
        stores: Mapping[str, BlobStore],
    ) -> None:
        self._reader = reader
        self._public = public
        self._forthcoming = forthcoming
        self._versions = versions
        self._stores = stores
        self._sizes = PieceSizes()

    async def open(
        self, principal: Principal, media_id: str, rendition: str = "", version: int = 0
    ) -> Content:
        """Returns the original of the caller's media, or a rendition. `version` 0 means the current
        version.
        Raises NotFound (MEDIA_NOT_FOUND, VERSION_NOT_FOUND, RENDITION_NOT_FOUND),
        FailedPrecondition (MEDIA_DELETED, MEDIA_QUARANTINED, MEDIA_FAILED), PermissionDenied
        (DOWNLOAD_NOT_ALLOWED, ROLE_REQUIRED), Unavailable (MEDIA_NOT_READY).
        """
        media = await self.media(principal, media_id)
        return await self.content(principal, media, rendition, version)

    async def media(self, principal: Principal, media_id: str) -> Media:
        """Returns the caller's media if its content may be read, now or soon. Raises NotFound
        (MEDIA_NOT_FOUND), FailedPrecondition (MEDIA_DELETED, MEDIA_QUARANTINED)."""
        media = await self._reader.get(principal, media_id)
        if media.state is MediaState.QUARANTINED and await self._reader.may_examine(principal):
            return media
        return available(media)

    async def content(
        self, principal: Principal | None, media: Media, rendition: str, version: int = 0
    ) -> Content:
        """Returns the original or a rendition of a media that the caller may read. Raises NotFound
        (VERSION_NOT_FOUND, RENDITION_NOT_FOUND), PermissionDenied (DOWNLOAD_NOT_ALLOWED, and
        ROLE_REQUIRED for a version that is not current), FailedPrecondition (MEDIA_QUARANTINED,
        MEDIA_FAILED) if such a version is not served, Unavailable (MEDIA_NOT_READY)."""
        if not rendition and principal and not principal.may_download:
            raise not_downloadable()
        shown = await self._versions.shown(media, version)
        media = scanned(shown if shown.current else available(shown))
        if not rendition:
            return self.original(media)
        try:
            return self.rendition(media, rendition, version)
        except NotFound:
            if not media.current:
                raise

            async def look() -> Content:
                return self.rendition(await self._again(media), rendition, version)

            return await self._forthcoming.look_again(media, rendition, look)

    async def shown(self, media: Media, version: int) -> Media:
        """A media, which the caller may read, as this version shows it. 0: the current one. Raises
        NotFound (VERSION_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        return await self._versions.shown(media, version)

    def rendition(self, media: Media, name: str, version: int = 0) -> Content:
        """Raises NotFound (RENDITION_NOT_FOUND)."""
        found = find_rendition(media, name, version)
        filename = with_extension(media.filename, found.content_type, f"-{found.name}")
        return rendition_content(media, found, filename)

    async def _again(self, media: Media) -> Media:
        """Reads a media again, which the caller may read."""
        found = await self._reader.find(media.media_id)
        if found is None:
            raise not_found(media.media_id)
        return readable(found)

    def original(self, media: Media) -> Content:
        content = stored(
            media.blob,
            media.content_type,
            media.filename,
            media.content_time,
            media.media_id,
            media.version,
            Use.DOWNLOAD,
        )
        # The media may get another blob with the same bytes. Nor does it tell who has the same one.
        parts = (media.media_id, str(media.version), *(["stripped"] if media.stripped else []))
        return replace(content, etag=f'"{".".join(parts)}"')

    async def public(self, path: str) -> Content:
        """Returns the public content at this path: the original of a media
        (`originals/ID/VERSION/NAME`), or the rendition with this key in the public store. A
        rendition has no file name, because the name may be private. Raises NotFound
        (MEDIA_NOT_FOUND)."""
        if original := ORIGINAL.fullmatch(path):
            return await self._public_original(original[1], int(original[2]))
        return rendition_content(*await self._public.get(path), filename="")

    async def _public_original(self, media_id: str, version: int) -> Content:
        """The addresses of earlier versions serve the current one, and not what it replaced."""
        media = await self._reader.find(media_id)
        if media is None or not media.original_published or version > media.version:
            raise nothing_public()
        return replace(self.original(media), revalidate=version != media.version)

    async def read(self, content: Content, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yields the bytes [start, end). Close the iterator to stop early. A read from the start
        counts as one use. Later ranges of the same download do not."""
        call = current_call.get() or AuditedCall("", lambda _: SERVICE)
        category = Category.DOWNLOAD if content.use is Use.DOWNLOAD else Category.VIEW
        counted = start == 0 and content.use is not None
        if content.media_id:
            call.reads(content.media_id, content.version, category, counted=counted)
        body = content.body
        with self._sizes.reader() as size:
            if isinstance(body, bytes):
                pieces = chunks(body, start, end, size)
            elif isinstance(body, Blob):
                pieces = self._stores[body.store].read(body.key, start, end - start, size)
            else:
                pieces = body.read(start, end, size)
            async with aclosing(pieces):
                async for piece in pieces:
                    call.bytes += len(piece)
                    held = [piece]  # a name would keep the piece that it yields
                    del piece
                    yield held.pop()

    async def store_url(self, content: Content, ttl: timedelta, *, attachment: bool) -> str | None:
        """Returns a signed URL of the store, or None if the store does not support them."""
        body, content_type = content.body, content.content_type
        if not isinstance(body, Blob):
            return None
        disposition = content_disposition(content.filename, content_type, attachment=attachment)
        driver = self._stores[body.store].driver
        return await driver.sign_read(body.key, ttl, content_type, disposition)


def not_downloadable() -> PermissionDenied:
    return PermissionDenied(
        Reason.DOWNLOAD_NOT_ALLOWED,
        "This share link lets its visitors view the media, but not download the original. Read a"
        " rendition or an image instead.",
    )


def rendition_content(media: Media, rendition: Rendition, filename: str) -> Content:
    return stored(
        rendition.blob,
        rendition.content_type,
        filename,
        rendition.create_time,
        media.media_id,
        media.version,
        Use.VIEW,
    )


async def chunks(data: bytes, start: int, end: int, size: PieceSize) -> AsyncGenerator[bytes, None]:
    """Yields the bytes [start, end) in pieces, as a store does."""
    while start < end:
        until = min(start + bytes_of(size), end)
        yield data[start:until]
        start = until


def not_satisfiable(size: int) -> OutOfRange:
    return OutOfRange(
        Reason.RANGE_NOT_SATISFIABLE,
        f"The range lies outside the content, which has {size} bytes.",
        complete_size_bytes=size,
    )


def resolve(offset: int, limit: int, size: int) -> tuple[int, int]:
    """Converts an offset and a limit to [start, end). A negative offset counts from the end. A
    limit of 0 means no limit.
    Raises OutOfRange (RANGE_NOT_SATISFIABLE) if the range starts beyond the end.
    """
    start = offset if offset >= 0 else max(0, size + offset)
    if start > size or (start == size and size > 0):
        raise not_satisfiable(size)
    return start, min(size, start + limit) if limit else size
