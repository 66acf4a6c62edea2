"""Lets media with the same bytes share one blob.

An upload always stores what it receives: an answer that came sooner would tell that somebody has
the file. The first job of a media, which knows the SHA-256, then replaces the new blob by another
one of the same tenant.
"""

import logging
from dataclasses import replace
from datetime import timedelta

from media_service.blobs import queries as blobs
from media_service.blobs.model import Blob
from media_service.blobs.placing import release
from media_service.db.database import Database
from media_service.duplicates import queries
from media_service.errors import MediaError
from media_service.failpoints import failpoint
from media_service.jobs.model import Claim
from media_service.jobs.queries import claimed_jobs
from media_service.media.model import Media
from media_service.media.versions import queries as versions
from media_service.storage.blob_store import BlobStore

log = logging.getLogger(__name__)

# How long the bytes of a replaced blob are kept for the scan, the job or the download that reads
# them, and for the URLs that the store itself accepts, which work for at most seven days.
READERS = timedelta(hours=2)
SIGNED_URLS = timedelta(days=7)
# The blobs that are read to find one that is intact.
CANDIDATES = 3


class BlobSharing:
    """Shares the blobs of originals in `store`."""

    def __init__(self, database: Database, store: BlobStore) -> None:
        self._database = database
        self._store = store

    async def share(self, claim: Claim, media: Media) -> Media:
        """Replaces the blob of a media by another one with the same bytes. Returns the media with
        the blob that it has afterwards. Changes nothing that callers see."""
        async with self._database.connection() as db:
            found = await queries.equals(db, media, CANDIDATES)
        for other in found:
            if await self._is_intact(other) and await self._replace(claim, media, other):
                failpoint("ingest.share.after")
                return replace(media, blob=other)
        return media

    async def _is_intact(self, blob: Blob) -> bool:
        """Whether the stored bytes are still those of their SHA-256. If they are not, the new ones
        must be kept: the store may have damaged the others since."""
        try:
            sha256 = await self._store.sha256(blob.key, blob.size_bytes)
        except MediaError as error:
            log.warning("blob %s cannot be shared: %s", blob.blob_id, error.message)
            return False
        return sha256 == blob.checksums.sha256

    async def _replace(self, claim: Claim, media: Media, other: Blob) -> bool:
        """Returns False if the media has changed, or if the other blob has lost its references."""
        keep = SIGNED_URLS if await self._signs(media.blob) else READERS
        async with self._database.transaction() as tx:
            current = await versions.lock(tx, media.media_id, media.version)
            replaced = media.blob.blob_id
            if current is None or current.blob.blob_id != replaced:
                return False
            if not await claimed_jobs.hold(tx, claim):
                return False
            if not await blobs.share(tx, other.blob_id, instead_of=replaced):
                return False
            await queries.set_blob(tx, current, other.blob_id)
            await release(tx, replaced, keep)
            failpoint("ingest.share.inside")
        return True

    async def _signs(self, blob: Blob) -> bool:
        """Whether the store accepts signed URLs."""
        url = await self._store.driver.sign_read(blob.key, timedelta(seconds=1), "", "")
        return url is not None
