"""Receives the files of foreign workers, through signed URLs.

A file is stored under the key of a blob that no row names. Nobody else reads it there: the worker
that hears of it verifies a copy of its own, so it may be replaced until then, and even later.
"""

from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import datetime, timedelta
from secrets import randbits

from media_service.access.link_signer import LinkSigner, invalid
from media_service.access.owner import Owner
from media_service.db.database import Database
from media_service.errors import MediaError
from media_service.jobs.queries import claimed_jobs
from media_service.media.policy import at_most, too_large
from media_service.storage.blob_store import BlobStore
from media_service.storage.driver import PartName, StoredPart
from media_service.uploads.model import Chunk, Part
from media_service.uploads.parts.receive import PartStream
from media_service.uploads.stream_runner import StreamRunner

# The purpose encoded in links.
RESULT = "result"
NOBODY = Owner("", "")


def result_url(
    links: LinkSigner, rest_url: str, job_id: str, fence: int, blob_id: str, expire: datetime
) -> str:
    """A URL to which the worker that holds the claim can PUT a file."""
    token = links.sign(RESULT, {"j": job_id, "f": fence, "b": blob_id}, expire)
    return f"{rest_url}/v1/signed/{token}"


class ResultReceiver:
    """`max_size`: of a file. `timeout`: as in `UploadService`."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        links: LinkSigner,
        runner: StreamRunner,
        *,
        max_size: int,
        timeout: timedelta,
    ) -> None:
        self._database = database
        self._store = store
        self._links = links
        self._runner = runner
        self._max_size = at_most(max_size, store.driver.limits.max_part_size or None)
        self._timeout = timeout

    async def put(self, token: str, chunks: AsyncGenerator[Chunk, None]) -> Part:
        """Stores a file. Raises PermissionDenied (LINK_INVALID) if the link is not valid, or the
        job has ended or been given to another worker."""
        claims = self._links.open(RESULT, token)
        async with self._database.connection() as db:
            claim = await claimed_jobs.held(db, claims["j"], claims["f"])
        if claim is None:
            raise invalid()
        with self._runner.admit(claim.owner or NOBODY) as place:
            excess = too_large(self._max_size + 1, self._max_size)
            stream = PartStream(self._max_size, excess, self._timeout)
            storing = self._store_file(stream, self._store.key(claims["b"]))
            return await self._runner.receive_stream(place, stream, storing, chunks)

    async def _store_file(self, stream: PartStream, key: str) -> Part:
        driver = self._store.driver
        session = await driver.begin(key)
        name = PartName(1, randbits(32))
        try:
            writer = await driver.open_part(key, session, name)
            try:
                await stream.receive(writer)
                await writer.seal()
            except BaseException:
                await writer.discard()
                raise
            stored = StoredPart(name, stream.size, sealed=True, crc32c=stream.crc32c)
            await driver.complete(key, session, [stored])
        except BaseException:
            with suppress(MediaError):
                await driver.abort(key, session)
            raise
        return Part(1, 0, stream.size, stream.crc32c, name.epoch, sealed=True)
