"""Verifies the file of a foreign worker, and makes it a rendition.

Nothing of what the worker says is believed: the bytes are counted, hashed and opened in the
sandbox. A message that says something else than they do is an error of the worker.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from media_service.blobs.writing import measure
from media_service.codecs.image.source import ImageSource
from media_service.codecs.inspection import AudioInfo, DocumentInfo, ImageInfo, Info
from media_service.codecs.inspector import Inspector
from media_service.db.database import Database
from media_service.db.refusals import file_blocked
from media_service.db.transaction import Transaction
from media_service.errors import InvalidArgument, Reason
from media_service.foreign.messages import Result
from media_service.foreign.tokens import JobToken
from media_service.jobs.model import Claim, JobState
from media_service.jobs.queries import claimed_jobs
from media_service.media import queries as media_queries
from media_service.media.model import Media, NewRendition, ScanState
from media_service.media.pixels import HEAD
from media_service.media.reader import not_found
from media_service.media.service import readable
from media_service.policies.queries import blocklist
from media_service.renditions.rendition_store import RenditionStore, check_rendition_limit
from media_service.renditions.thumbnails import ThumbnailRenderer
from media_service.scanning.scanner import Scanner
from media_service.storage.blob_store import HASH_CHUNK, BlobStore
from media_service.temporary_files import temporary_file
from media_service.uploads.acceptance import Acceptance


def refused(problem: str) -> InvalidArgument:
    return InvalidArgument(
        Reason.FOREIGN_RESULT_REFUSED,
        f"The result of a foreign worker was refused: {problem}.",
        problem=problem,
    )


class ForeignResults:
    """`scanner`: None if the service does not scan."""

    def __init__(
        self,
        database: Database,
        raw: BlobStore,
        renditions: RenditionStore,
        inspector: Inspector,
        acceptance: Acceptance,
        thumbnails: ThumbnailRenderer,
        scanner: Scanner | None,
    ) -> None:
        self._database = database
        self._raw = raw
        self._renditions = renditions
        self._inspector = inspector
        self._acceptance = acceptance
        self._thumbnails = thumbnails
        self._scanner = scanner

    async def accept(self, claim: Claim, token: JobToken, result: Result) -> bool:
        """Makes a file the rendition of its job, and ends the job. Returns False if the claim is no
        longer valid, or the file was made from an earlier version of the media.

        Raises InvalidArgument (FOREIGN_RESULT_REFUSED, TYPE_NOT_ALLOWED, MEDIA_CORRUPT,
        PROCESSING_LIMIT_EXCEEDED), FailedPrecondition (FILE_BLOCKED, RENDITION_LIMIT_EXCEEDED,
        QUOTA_EXCEEDED), NotFound (MEDIA_NOT_FOUND) and Unavailable.
        """
        if result.rendition != claim.rendition:
            raise refused("it is another rendition than the job asks for")
        media = await self._media(claim)
        if media.version != token.version:
            return False
        check_rendition_limit(media, claim.rendition)
        async with self._copy(self._raw.key(token.blob_id), result.size_bytes) as path:
            content_type, info = await self._verify(media, path, result)

            async def finish(tx: Transaction) -> bool:
                return await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED)

            width, height = size_of(info)
            new = NewRendition(
                claim.rendition, content_type, claim.pipeline, media.version, width, height
            )
            return await self._renditions.add(media.media_id, new, path, finish)

    async def discard(self, blob_id: str) -> None:
        """Removes what the worker has put."""
        await self._raw.driver.delete(self._raw.key(blob_id))

    async def _media(self, claim: Claim) -> Media:
        async with self._database.connection() as db:
            media = (await media_queries.get_many(db, [claim.subject_id])).get(claim.subject_id)
        if media is None:
            raise not_found(claim.subject_id)
        readable(media)
        return media

    @asynccontextmanager
    async def _copy(self, key: str, size: int) -> AsyncIterator[Path]:
        """A copy that the worker can no longer replace."""
        found = await self._raw.driver.stat(key)
        if found is None:
            raise refused("there is no file at its URL")
        if found.size != size:
            raise refused(f"it has {found.size} bytes")
        with temporary_file("media-blob-") as copy:
            async for chunk in self._raw.driver.read(key, 0, size, HASH_CHUNK):
                await asyncio.to_thread(copy.write, chunk)
            copy.flush()
            yield Path(copy.name)

    async def _verify(self, media: Media, path: Path, result: Result) -> tuple[str, Info]:
        size, checksums = await asyncio.to_thread(measure, path)
        sha256 = checksums.sha256 or b""
        if size != result.size_bytes:
            raise refused(f"it has {size} bytes")
        if result.sha256 is not None and sha256.hex() != result.sha256:
            raise refused("it has another SHA-256")
        async with self._database.connection() as db:
            if await blocklist.is_blocked(db, media.owner.org_id, sha256):
                raise file_blocked(sha256.hex())
            screened = await blocklist.screens_looks(db, media.owner.org_id)
        head = await asyncio.to_thread(read_head, path)
        detected, kind = self._acceptance.check_content(head, "")
        inspected = await self._inspector.inspect(path, kind, detected)
        self._acceptance.types.check(inspected.content_type)
        if inspected.content_type != result.content_type:
            raise refused(f"it is of the type {inspected.content_type}")
        if (found := size_of(inspected.info)) != (result.width, result.height):
            raise refused(f"it has {found[0]}x{found[1]} pixels")
        await self._scan(path)
        if screened and isinstance(inspected.info, ImageInfo):
            source = ImageSource.of(path, inspected.content_type, inspected.info)
            hashes = await self._thumbnails.hashes(source)
            async with self._database.connection() as db:
                if await blocklist.looks_blocked(db, media.owner.org_id, hashes):
                    raise file_blocked(sha256.hex())
        return inspected.content_type, inspected.info

    async def _scan(self, path: Path) -> None:
        if self._scanner is None:
            return
        finding = await self._scanner.scan(pieces(path))
        if finding.state is not ScanState.CLEAN:
            raise refused(f"its virus scan says {finding.state}")


def size_of(info: Info) -> tuple[int, int]:
    """Width and height; 0 for what has none."""
    if isinstance(info, (AudioInfo, DocumentInfo)):
        return 0, 0
    return info.width, info.height


def read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


async def pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, HASH_CHUNK):
            yield piece
