"""Stores the segments of a stream as they are encoded."""

from collections.abc import Awaitable, Callable
from functools import partial

from crc32c import crc32c

from media_service.blobs.model import Blob
from media_service.blobs.placing import Placer
from media_service.blobs.writing import write_to
from media_service.codecs.video.fmp4 import Fragment, InitSegment
from media_service.db.database import Database
from media_service.db.notifications import MediaChanged
from media_service.db.transaction import Transaction
from media_service.failpoints import failpoint
from media_service.jobs.model import Claim
from media_service.jobs.queries import claimed_jobs
from media_service.media.reader import not_found
from media_service.renditions.streams import queries
from media_service.renditions.streams.model import FIRST, INIT, NewSegment, Stream
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums

VIDEO, TEXT = "video/mp4", "text/vtt"


class Segments:
    """Stores segments in `store`, regardless of the visibility of their media."""

    def __init__(self, database: Database, store: BlobStore) -> None:
        self._database = database
        self._placer = Placer(database)
        self._store = store

    def deliver(
        self, claim: Claim, stream: Stream, first: int, ticks: int
    ) -> Callable[[str, InitSegment | Fragment], Awaitable[None]]:
        """Returns a function that stores the init segment and the segments of each track, in the
        order of its calls. The first segment has the number `first` and starts at `ticks`. Once
        this worker no longer holds the job, nothing is stored."""
        numbers: dict[str, int] = {}

        async def store(track: str, piece: InitSegment | Fragment) -> None:
            if isinstance(piece, InitSegment):
                new = NewSegment(track, INIT, codec=piece.codec)
                await self._add(claim, stream, new, piece.data, VIDEO)
                return
            number = numbers.get(track, first)
            numbers[track] = number + 1
            new = NewSegment(track, number, piece.duration, piece.first_bytes)
            await self._add(claim, stream, new, piece.shifted(ticks, number), VIDEO)

        return store

    async def add_subtitles(self, claim: Claim, stream: Stream, track: str, data: bytes) -> None:
        """Stores a subtitle track, which is one WebVTT file."""
        await self._add(claim, stream, NewSegment(track, 1), data, TEXT)

    async def _add(
        self, claim: Claim, stream: Stream, new: NewSegment, data: bytes, kind: str
    ) -> None:
        """Stores a segment unless an earlier attempt stored it. Each segment can be decoded
        independently, so segments of different attempts can be combined."""
        write = partial(write_to, self._store, data, len(data), kind)
        take = partial(self._take, claim, stream, new)
        checksums = Checksums(crc32c(data))
        if not await self._placer.place(self._store, len(data), checksums, write, take):
            await self._check(stream)
        failpoint("segment.take.after")

    async def _check(self, stream: Stream) -> None:
        """Raises NotFound (MEDIA_NOT_FOUND) if the stream was removed with its media."""
        async with self._database.connection() as db:
            if await queries.of_job(db, stream.job_id) is None:
                raise not_found(stream.media_id)

    async def _take(
        self, claim: Claim, stream: Stream, new: NewSegment, tx: Transaction, blob: Blob
    ) -> bool:
        if not await claimed_jobs.hold(tx, claim):
            return False
        added = await queries.put_segment(tx, stream.stream_id, new, blob.blob_id)
        if added and new.number <= FIRST:  # players wait for these
            tx.notify(MediaChanged(stream.media_id))
        return added
