"""Compares an encoded stream with its original, before it is published."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from media_service.codecs.comparison import check_duration, check_frames, edited_seconds
from media_service.codecs.inspector import Inspector
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource
from media_service.db.database import Database
from media_service.media.reader import not_found
from media_service.renditions.streams import queries
from media_service.renditions.streams.model import INIT, Stream
from media_service.storage.blob_store import HASH_CHUNK, BlobStore
from media_service.temporary_files import temporary_file


class StreamComparison:
    """`store` has the segments."""

    def __init__(self, database: Database, store: BlobStore, inspector: Inspector) -> None:
        self._database = database
        self._store = store
        self._inspector = inspector

    async def check(self, stream: Stream, source: AvSource, edits: Edits) -> None:
        """Compares the durations of all tracks, and the first and the last frame of the smallest
        rung. Raises InvalidArgument (MEDIA_CORRUPT) if they differ, and NotFound
        (MEDIA_NOT_FOUND)."""
        ladder = stream.ladder
        rung = ladder.rungs[-1]
        async with self._database.connection() as db:
            timelines = {
                name: await queries.timeline(db, stream.stream_id, name) for name in ladder.names
            }
        seconds = {
            name: sum(segment.duration for segment in segments) / stream.timescale(name)
            for name, segments in timelines.items()
        }
        original = await self._inspector.source_ends(source, edits)
        check_duration("The video track", seconds[rung.name], edits.seconds)
        for track in ladder.audio_tracks:
            wanted = edited_seconds(original.audio_track(track.index), edits)
            check_duration(f"Audio track {track.name[1:]}", seconds[track.name], wanted)
        with temporary_file("media-blob-") as file:
            numbers = dict.fromkeys([INIT, 1, len(timelines[rung.name])])
            await self._copy(stream, rung.name, numbers, file)
            result = await self._inspector.result_ends(Path(file.name), "video/mp4", None)
        if result is not None:
            check_frames(original, result, (rung.width, rung.height), hdr=source.is_hdr)

    async def _copy(
        self, stream: Stream, track: str, numbers: Iterable[int], file: IO[bytes]
    ) -> None:
        """Appends segments of a track to a file."""
        async with self._database.connection() as db:
            blobs = [
                await queries.segment(db, stream.media_id, stream.stream_id, track, number)
                for number in numbers
            ]
        for blob in blobs:
            if blob is None:
                raise not_found(stream.media_id)
            async for data in self._store.read(blob.key, 0, blob.size_bytes, HASH_CHUNK):
                await asyncio.to_thread(file.write, data)
        file.flush()
