"""Writes any range of the bytes of an archive."""

import zlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from media_service.blobs.model import Blob
from media_service.db.database import Database
from media_service.downloads.archives import queries, zip_format
from media_service.downloads.archives.errors import changed
from media_service.downloads.archives.model import Archive, ArchiveFile
from media_service.storage.blob_store import BlobStore
from media_service.storage.piece_size import LARGE, PieceSize

PAGE = 200

Pieces = AsyncGenerator[bytes, None]


class ArchiveWriter:
    """`begun` is called for each file of which the first byte is sent.

    The central directory names the CRC-32 of each file. One that is not known yet is computed from
    the bytes that are sent, or, if a range begins behind them, from the bytes in the store. It is
    kept with the blob.
    """

    def __init__(
        self,
        database: Database,
        stores: Mapping[str, BlobStore],
        begun: Callable[[ArchiveFile], None],
    ) -> None:
        self._database = database
        self._stores = stores
        self._begun = begun

    async def write(self, archive: Archive, start: int, end: int, size: PieceSize) -> Pieces:
        """Yields the bytes [start, end) of an archive. Raises Aborted (ARCHIVE_CHANGED) if one of
        its files is gone."""
        if start < archive.directory_start:
            async with aclosing(self._files(archive, start)) as files:
                async for each in files:
                    if each.file.start >= end:
                        return
                    first, last = (at - each.file.start for at in (start, end))
                    async with aclosing(self._file(each, max(0, first), last, size)) as pieces:
                        async for piece in pieces:
                            yield piece
        at = archive.directory_start
        async with aclosing(self._directory(archive)) as headers:
            async for header in headers:
                if (piece := clip(header, at, start, end)) and at < end:
                    yield piece
                at += len(header)

    async def _files(self, archive: Archive, offset: int = 0) -> AsyncGenerator[ArchiveFile, None]:
        """The files from the one that has the byte at `offset` on."""
        async with self._database.connection() as db:
            position = await queries.position_at(db, archive.archive_id, offset)
        while position < archive.file_count:
            async with self._database.connection() as db:
                page = await queries.page(db, archive.archive_id, position, PAGE)
            for each in page:
                if each.position != position:
                    raise changed()
                yield each
                position += 1
            if not page:
                raise changed()

    async def _file(self, each: ArchiveFile, start: int, end: int, size: PieceSize) -> Pieces:
        """The bytes [start, end) of a file with its header and its descriptor."""
        file, base = each.file, each.file.start
        header = zip_format.local_header(file, each.crc32 or 0)
        if start == 0:
            self._begun(each)
        if piece := clip(header, 0, start, end):
            yield piece
        first = max(0, start - len(header))
        last = min(file.size_bytes, end - len(header))
        crc32 = each.crc32
        if first < last:
            hashed = crc32 is None and last == file.size_bytes
            sum_ = await self._crc32_of(each.blob, 0, first) if hashed else 0
            store = self._stores[each.blob.store]
            async with aclosing(store.read(each.blob.key, first, last - first, size)) as pieces:
                async for piece in pieces:
                    if hashed:
                        sum_ = zlib.crc32(piece, sum_)
                    yield piece
            if hashed:
                crc32 = await self._keep(each.blob, sum_)
        if file.described and end > (at := file.data_end - base):
            if crc32 is None:
                crc32 = await self._computed(each.blob)
            if piece := clip(zip_format.descriptor(file, crc32), at, start, end):
                yield piece

    async def _directory(self, archive: Archive) -> Pieces:
        size = 0
        async with aclosing(self._files(archive)) as files:
            async for each in files:
                crc32 = each.crc32
                if crc32 is None:
                    crc32 = await self._computed(each.blob)
                header = zip_format.central_header(each.file, crc32)
                size += len(header)
                yield header
        yield zip_format.end_records(archive.file_count, archive.directory_start, size)

    async def _computed(self, blob: Blob) -> int:
        return await self._keep(blob, await self._crc32_of(blob, 0, blob.size_bytes))

    async def _crc32_of(self, blob: Blob, start: int, end: int) -> int:
        sum_ = 0
        if start < end:
            store = self._stores[blob.store]
            async with aclosing(store.read(blob.key, start, end - start, LARGE)) as pieces:
                async for piece in pieces:
                    sum_ = zlib.crc32(piece, sum_)
        return sum_

    async def _keep(self, blob: Blob, crc32: int) -> int:
        async with self._database.connection() as db:
            await queries.set_crc32(db, blob.blob_id, crc32)
        return crc32


def clip(data: bytes, at: int, start: int, end: int) -> bytes:
    """The part of `data`, which is at this offset, that lies in [start, end)."""
    return data[max(0, start - at) : max(0, end - at)]
