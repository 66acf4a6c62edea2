"""Makes a film ready for adaptive streaming.

The job of a stream plans it, encodes the sounds as a whole, and has the pictures encoded in chunks.
Chunks are jobs of their own, which any worker takes, this one too; a worker that dies costs no more
than the chunk it was at. What is encoded can be played at once.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial

from media_service.codecs.pipeline.route import Route, find_route
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.task_group import run_together
from media_service.codecs.video.edits import Edits, collect_edits
from media_service.codecs.video.ladder import Ladder, build_ladder
from media_service.codecs.video.segment_encoder import (
    encode_audio,
    encode_subtitles,
    encode_video,
)
from media_service.codecs.video.source import AvSource
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, Fault, MediaError, Reason
from media_service.failpoints import failpoint
from media_service.ids import new_id
from media_service.jobs import queries as jobs
from media_service.jobs.attempt import Attempt, take
from media_service.jobs.model import Claim, JobKind, JobState, Part, Priority
from media_service.jobs.progress import Progress
from media_service.media import queries as catalogue
from media_service.media.model import STREAM, Media, NewRendition
from media_service.media.reader import not_found
from media_service.renditions.original_files import OriginalFiles
from media_service.renditions.rendition_store import RenditionStore
from media_service.renditions.streams import hls, queries
from media_service.renditions.streams.model import Overview, Stream, TrackState
from media_service.renditions.streams.segments import Segments

# How often the parts are looked at.
LOOK_SECONDS = 0.5
# A worker that dies keeps its chunk for no longer.
LEASE = timedelta(seconds=30)
# Abandoned streams that are removed at once.
BATCH = 10
# Percent of the whole job.
BEGIN, END = 5, 98

# Is told how many seconds are encoded.
Told = Callable[[float], None]


class StreamMaker:
    """`profiles`: kbps of each size, by its shorter side. `threads`: of each encoder; 0: as many as
    there are cores."""

    def __init__(
        self,
        database: Database,
        renditions: RenditionStore,
        segments: Segments,
        chunks: "ChunkHandler",
        profiles: Mapping[int, int],
    ) -> None:
        self._database = database
        self._renditions = renditions
        self._segments = segments
        self._chunks = chunks
        self._profiles = profiles

    async def run(
        self, claim: Claim, media: Media, film: AvSource, steps: Route, progress: Progress
    ) -> None:
        """Makes the stream, and ends the job in the transaction that publishes it. Raises as
        `encode_video`."""
        if not film.has_video:
            raise FailedPrecondition(
                Reason.OPERATION_NOT_APPLICABLE, "The film has no pictures to be streamed."
            )
        kept, ((_, message),) = collect_edits(steps.steps, film.duration_seconds)
        check_edits(kept)
        stream = await self._begin(claim, media, build_ladder(film, kept, self._profiles, message))
        if stream is None:
            return
        progress.report("encode", BEGIN)
        await run_together(
            self._sounds(claim, stream, film, kept),
            self._subtitles(claim, stream, film, kept),
            self._pictures(claim, stream, film, kept, progress),
        )
        progress.report("publish", END)
        await self._publish(claim, media, stream)

    async def _begin(self, claim: Claim, media: Media, wanted: Ladder) -> Stream | None:
        """The stream of this job, and its parts: as an earlier attempt left them, if there was
        one. None if the job is no longer this worker's: nothing is begun for one that was
        cancelled. Raises NotFound (MEDIA_NOT_FOUND)."""
        async with self._database.transaction() as tx:
            if not await jobs.hold(tx, claim):
                return None
            stream = await queries.of_job(tx, claim.job_id, lock=True)
            if stream is not None:
                await jobs.restart_parts(tx, claim.job_id)
            else:
                stream = await queries.add(tx, new_id(), media.media_id, claim.job_id, wanted)
                if stream is None:
                    raise not_found(media.media_id)
                await jobs.forget_parts(tx, claim.job_id)
                if wanted.chunks > 1:
                    await tx.enqueue(*parts_of(claim, wanted))
            failpoint("stream.begin.before")
        failpoint("stream.begin.after")
        return stream

    async def _sounds(self, claim: Claim, stream: Stream, film: AvSource, kept: Edits) -> None:
        if stream.ladder.audio_tracks:
            deliver = self._segments.deliver(claim, stream, 1, 0)
            await encode_audio(film, kept, stream.ladder.audio_tracks, deliver)

    async def _subtitles(self, claim: Claim, stream: Stream, film: AvSource, kept: Edits) -> None:
        if not stream.ladder.subtitles:
            return
        async with AsyncExitStack() as stack:
            found = await encode_subtitles(stack, film, kept, stream.ladder.subtitles)
            for track, path in zip(stream.ladder.subtitles, found, strict=True):
                data = await asyncio.to_thread(path.read_bytes)
                await self._segments.keep_text(claim, stream, track.name, data)

    async def _pictures(
        self, claim: Claim, stream: Stream, film: AvSource, kept: Edits, progress: Progress
    ) -> None:
        if stream.ladder.chunks == 1:
            await self._chunks.encode(claim, stream, film, kept, 0, partial(tell, progress, stream))
            return
        watching = asyncio.create_task(self._watch(claim, progress))
        try:
            while not watching.done():
                part = await take(
                    self._database, partial(jobs.claim_part, parent_id=claim.job_id, lease=LEASE)
                )
                if part is None:
                    await asyncio.wait({watching}, timeout=LOOK_SECONDS)
                    continue
                attempt = Attempt(self._database, self._chunks, part, LEASE, limit=None)
                doing = asyncio.create_task(attempt.run())
                try:
                    await asyncio.wait({watching, doing}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    doing.cancel()
                    await asyncio.gather(doing, return_exceptions=True)
            await watching
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, claim: Claim, progress: Progress) -> None:
        """Until all parts are done, whoever does them. Raises what one failed of."""
        while True:
            async with self._database.connection() as db:
                parts = await jobs.parts(db, claim.job_id)
            if not parts:  # the media was purged
                raise not_found(claim.subject_id)
            done = sum(
                100 if part.state is JobState.SUCCEEDED else part.progress_percent for part in parts
            )
            progress.report("encode", BEGIN + (END - BEGIN) * done / (100 * len(parts)))
            for part in parts:
                if part.state is JobState.FAILED:
                    raise failure(part)
            if all(part.state is JobState.SUCCEEDED for part in parts):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _publish(self, claim: Claim, media: Media, stream: Stream) -> None:
        async with self._database.connection() as db:
            found = await queries.states(db, stream)
        check_whole(stream, found)
        largest = stream.ladder.rungs[0]
        new = NewRendition(
            STREAM, hls.CONTENT_TYPE, claim.pipeline, media.version, largest.width, largest.height
        )
        whole = Overview(replace(stream, ready=True), found)
        playlist = hls.master(whole, f"../../stream/{stream.stream_id}")  # from its own address

        async def ending(tx: Transaction) -> bool:
            if not await jobs.finish(tx, claim, JobState.SUCCEEDED):
                return False
            await jobs.forget_parts(tx, claim.job_id)
            await queries.publish(tx, stream)
            failpoint("stream.publish.before")
            return True

        await self._renditions.add(media.media_id, new, playlist.encode(), ending)
        failpoint("stream.publish.after")


class ChunkHandler:
    """Does CHUNK jobs: a part of the pictures of a stream."""

    def __init__(
        self, database: Database, files: OriginalFiles, segments: Segments, threads: int
    ) -> None:
        self._database = database
        self._files = files
        self._segments = segments
        self._threads = threads

    async def run(self, claim: Claim, progress: Progress) -> None:
        async with self._database.connection() as db:
            stream = await queries.of_job(db, claim.parent_id or "")
            media = (await catalogue.get_many(db, [claim.subject_id])).get(claim.subject_id)
        if stream is None or media is None:  # it was purged, or given up, meanwhile
            raise not_found(claim.subject_id)
        async with AsyncExitStack() as opened:
            original = await self._files.open(opened, media)
            film = AvSource.of(original.path, media.content_type, original.info)
            kept, _ = collect_edits(
                find_route(claim.pipeline, media.kind).steps, film.duration_seconds
            )
            told = partial(tell, progress, stream)
            await self.encode(claim, stream, film, kept, claim.part, told)
        failpoint("chunk.finish.before")
        async with self._database.connection() as db:
            await jobs.finish(db, claim, JobState.SUCCEEDED)
        failpoint("chunk.finish.after")

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        async with self._database.connection() as db:
            await jobs.finish(db, claim, JobState.FAILED, fault)

    async def encode(
        self, claim: Claim, stream: Stream, film: AvSource, kept: Edits, chunk: int, told: Told
    ) -> None:
        """One chunk of a stream. Raises as `encode_video`."""
        shape = stream.ladder
        deliver = self._segments.deliver(
            claim,
            stream,
            shape.first_segment(chunk),
            chunk * shape.chunk_frames * shape.frame_ticks,
        )
        await encode_video(film, kept, shape, chunk, deliver, threads=self._threads, report=told)


def parts_of(claim: Claim, wanted: Ladder) -> list[NewJob]:
    return [
        NewJob(
            JobKind.CHUNK,
            claim.subject_id,
            claim.owner,
            # What else its owner wants, new uploads above all, does not wait for an hour of film.
            Priority.LOW,
            pipeline=claim.pipeline,
            parent_id=claim.job_id,
            part=part,
            heavy=True,
        )
        for part in range(wanted.chunks)
    ]


def tell(progress: Progress, stream: Stream, seconds: float) -> None:
    """`seconds`: of a chunk, that are encoded."""
    shape = stream.ladder
    whole = shape.chunk_frames * shape.rate[1] / shape.rate[0]
    expected = min(whole, shape.seconds) or 1
    progress.report("encode", BEGIN + (END - BEGIN) * min(1, seconds / expected))


def failure(part: Part) -> MediaError:
    """What a part failed of, for good."""
    fault = part.fault or Fault(Reason.INTERNAL, "A part of it failed.")
    return MediaError(Reason(fault.reason), fault.message)


def check_edits(kept: Edits) -> None:
    """Raises FailedPrecondition (OPERATION_NOT_APPLICABLE)."""
    if kept.watermarks or kept.normalize:
        name = "watermark" if kept.watermarks else "normalize"
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"A stream cannot have {name} before it; transcode first.",
        )


def check_whole(stream: Stream, found: Mapping[str, TrackState]) -> None:
    """Raises InvalidArgument (MEDIA_CORRUPT) if a segment is missing."""
    shape = stream.ladder
    ends = {found[rung.name].last if rung.name in found else 0 for rung in shape.rungs}
    sounds = {sound.name for sound in shape.audio_tracks}
    for name in shape.names:
        state = found.get(name)
        if name in sounds and state is None:
            continue  # there was nothing to be heard
        if state is None or not state.segments or state.segments != state.last or len(ends) > 1:
            raise corrupt("Not all of it can be decoded: parts of the stream are missing.")


async def remove_abandoned(database: Database) -> int:
    """Removes what was encoded of streams whose jobs ended without them, and parts of streams that
    are gone; returns how many segments."""
    async with database.transaction() as tx:
        unlink = await queries.remove_abandoned(tx, BATCH)
        await queries.forget_parts(tx)
        await tx.enqueue(*(NewJob(JobKind.UNLINK, blob_id) for blob_id in unlink))
    if unlink:
        failpoint("stream.abandon.after")
    return len(unlink)
