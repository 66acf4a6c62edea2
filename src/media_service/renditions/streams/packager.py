"""Packages a video for adaptive streaming.

The job of a stream plans the ladder, encodes each audio track as a whole, and splits the video into
chunks. Each chunk is a separate job that any worker can run, including the worker of this job. A
worker that dies therefore loses at most one chunk. Encoded segments can be played immediately.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial

from media_service.codecs.pipeline.route import Route
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.task_group import run_together
from media_service.codecs.video.edits import Edits, collect_edits
from media_service.codecs.video.ladder import Ladder, build_ladder
from media_service.codecs.video.segment_encoder import encode_audio, encode_subtitles
from media_service.codecs.video.source import AvSource
from media_service.db.database import Database
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, Fault, MediaError, Reason
from media_service.failpoints import failpoint
from media_service.ids import new_id
from media_service.jobs.attempt import Attempt, take
from media_service.jobs.handler import GaveWay
from media_service.jobs.model import Claim, JobKind, JobState, Subjob
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs, claiming, owner_turns, subjobs
from media_service.media import queries as media_queries
from media_service.media.model import STREAM, Media, NewRendition
from media_service.media.reader import not_found
from media_service.renditions.handlers.chunk import (
    ENCODE_PERCENT,
    PUBLISH_PERCENT,
    ChunkHandler,
    chunk_jobs,
    report_seconds,
)
from media_service.renditions.rendition_store import RenditionStore
from media_service.renditions.streams import hls, queries
from media_service.renditions.streams.comparison import StreamComparison
from media_service.renditions.streams.model import Overview, Stream, TrackState
from media_service.renditions.streams.segments import Segments

# The interval at which the state of the chunks is read.
POLL_SECONDS = 0.5
# The lease of a chunk. If a worker dies, another one takes over its chunk when the lease expires.
CHUNK_LEASE = timedelta(seconds=30)


class StreamPackager:
    """Packages streams. `profiles` has the bit rate of each rung in kbit/s, by its shorter side in
    pixels."""

    def __init__(
        self,
        database: Database,
        store: RenditionStore,
        segments: Segments,
        chunks: ChunkHandler,
        comparison: StreamComparison,
        profiles: Mapping[int, int],
        skipped: Collection[JobKind],
    ) -> None:
        self._skipped = skipped
        self._database = database
        self._store = store
        self._segments = segments
        self._chunks = chunks
        self._comparison = comparison
        self._profiles = profiles

    async def run(
        self, claim: Claim, media: Media, source: AvSource, route: Route, progress: Progress
    ) -> None:
        """Encodes the stream. Ends the job in the transaction that publishes the stream.

        Raises FailedPrecondition (OPERATION_NOT_APPLICABLE), InvalidArgument (MEDIA_CORRUPT) if the
        stream is incomplete or differs from its original, and the errors of `encode_video`.
        """
        if not source.has_video:
            raise FailedPrecondition(
                Reason.OPERATION_NOT_APPLICABLE, "The media has no video track to stream."
            )
        edits, ((_, message),) = collect_edits(route.steps, source.duration_seconds)
        check_edits(edits)
        ladder = build_ladder(source, edits, self._profiles, message)
        stream = await self._begin(claim, media, ladder)
        if stream is None:
            return
        progress.report("encode", ENCODE_PERCENT)
        tracks = asyncio.create_task(self._encode_tracks(claim, stream, source, edits))
        video = self._encode_video(claim, stream, source, edits, progress, tracks)
        await run_together(tracks, video)
        progress.report("publish", PUBLISH_PERCENT)
        await self._check(stream, source, edits)
        await self._publish(claim, media, stream)

    async def _begin(self, claim: Claim, media: Media, ladder: Ladder) -> Stream | None:
        """Creates the stream and its chunk jobs, or continues those of an earlier attempt. Returns
        None if this worker no longer holds the job, so that nothing starts for a cancelled job.
        Raises NotFound (MEDIA_NOT_FOUND)."""
        async with self._database.transaction() as tx:
            await media_queries.lock(tx, media.media_id)  # media before jobs, as everywhere
            if not await claimed_jobs.hold(tx, claim):
                return None
            stream = await queries.of_job(tx, claim.job_id, lock=True)
            if stream is not None:
                await subjobs.restart(tx, claim.job_id)
            else:
                stream = await queries.add(tx, new_id(), media.media_id, claim.job_id, ladder)
                if stream is None:
                    raise not_found(media.media_id)
                await subjobs.forget(tx, claim.job_id)
                if ladder.chunks > 1:
                    await tx.enqueue(*chunk_jobs(claim, ladder))
            failpoint("stream.begin.before")
        failpoint("stream.begin.after")
        return stream

    async def _encode_tracks(
        self, claim: Claim, stream: Stream, source: AvSource, edits: Edits
    ) -> None:
        """Encodes all audio and subtitle tracks, unless an earlier attempt did."""
        if stream.tracks_ready:
            return
        await run_together(
            self._encode_audio(claim, stream, source, edits),
            self._encode_subtitles(claim, stream, source, edits),
        )
        async with self._database.connection() as db:
            await queries.set_tracks_ready(db, stream)

    async def _encode_audio(
        self, claim: Claim, stream: Stream, source: AvSource, edits: Edits
    ) -> None:
        if stream.ladder.audio_tracks:
            deliver = self._segments.deliver(claim, stream, 1, 0)
            await encode_audio(source, edits, stream.ladder.audio_tracks, deliver)

    async def _encode_subtitles(
        self, claim: Claim, stream: Stream, source: AvSource, edits: Edits
    ) -> None:
        tracks = stream.ladder.subtitles
        if not tracks:
            return
        async with AsyncExitStack() as stack:
            paths = await encode_subtitles(stack, source, edits, tracks)
            for track, path in zip(tracks, paths, strict=True):
                data = await asyncio.to_thread(path.read_bytes)
                await self._segments.add_subtitles(claim, stream, track.name, data)

    async def _encode_video(
        self,
        claim: Claim,
        stream: Stream,
        source: AvSource,
        edits: Edits,
        progress: Progress,
        tracks: asyncio.Task[None],
    ) -> None:
        """Runs chunks until all are encoded, here or by other workers. Between chunks, and while it
        waits for chunks that are encoded elsewhere or retried later, gives way to owners who hold
        no slot. `tracks` encodes the other tracks, which would start over."""
        if stream.ladder.chunks == 1:
            report = partial(report_seconds, progress, stream)
            await self._chunks.encode(claim, stream, source, edits, 0, report)
            return
        waiting = asyncio.create_task(self._wait_for_chunks(claim, progress))
        try:
            while not waiting.done():
                chunk = await take(
                    self._database,
                    partial(claiming.claim_subjob, parent_id=claim.job_id, lease=CHUNK_LEASE),
                )
                if chunk is None:
                    await asyncio.wait({waiting}, timeout=POLL_SECONDS)
                else:
                    await self._run_chunk(chunk, waiting)
                if tracks.done() and not waiting.done() and await self._is_awaited(claim):
                    raise GaveWay
            await waiting
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def _run_chunk(self, chunk: Claim, waiting: asyncio.Task[None]) -> None:
        """Runs a chunk, unless `waiting` ends first."""
        attempt = Attempt(self._database, self._chunks, chunk, CHUNK_LEASE)
        running = asyncio.create_task(attempt.run())
        try:
            await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _is_awaited(self, claim: Claim) -> bool:
        """Whether a job waits of another tenant, or of another owner in the organization, that
        holds no slot."""
        if claim.owner is None:
            return False
        async with self._database.connection() as db:
            for group in owner_turns.groups_of(claim.owner):
                if await owner_turns.is_awaited(db, group, 1, heavy=True, skipped=self._skipped):
                    return True
        return False

    async def _wait_for_chunks(self, claim: Claim, progress: Progress) -> None:
        """Returns when all chunks are encoded. Raises the error of a chunk that failed."""
        while True:
            async with self._database.connection() as db:
                chunks = await subjobs.of_job(db, claim.job_id)
            if not chunks:  # the media was purged
                raise not_found(claim.subject_id)
            done = sum(
                100 if chunk.state is JobState.SUCCEEDED else chunk.progress_percent
                for chunk in chunks
            )
            span = PUBLISH_PERCENT - ENCODE_PERCENT
            progress.report("encode", ENCODE_PERCENT + span * done / (100 * len(chunks)))
            for chunk in chunks:
                if chunk.state is JobState.FAILED:
                    raise error_of(chunk)
            if all(chunk.state is JobState.SUCCEEDED for chunk in chunks):
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _check(self, stream: Stream, source: AvSource, edits: Edits) -> None:
        """Raises InvalidArgument (MEDIA_CORRUPT) if the stream is incomplete, or differs from its
        original."""
        async with self._database.connection() as db:
            check_complete(stream, await queries.states(db, stream))
        await self._comparison.check(stream, source, edits)

    async def _publish(self, claim: Claim, media: Media, stream: Stream) -> None:
        """Replaces the current stream of the media and ends the job."""
        async with self._database.connection() as db:
            states = await queries.states(db, stream)
        largest = stream.ladder.rungs[0]
        new = NewRendition(
            STREAM, hls.CONTENT_TYPE, claim.pipeline, media.version, largest.width, largest.height
        )
        overview = Overview(replace(stream, ready=True), states)
        # The path is relative to the address of the rendition's content.
        playlist = hls.master(overview, f"../../stream/{stream.stream_id}")

        async def finish(tx: Transaction) -> bool:
            if not await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED):
                return False
            await subjobs.forget(tx, claim.job_id)
            await queries.publish(tx, stream)
            failpoint("stream.publish.before")
            return True

        await self._store.add(media.media_id, new, playlist.encode(), finish)
        failpoint("stream.publish.after")


def error_of(chunk: Subjob) -> MediaError:
    """Returns the error of a failed chunk. It is permanent, because the chunk had all its
    attempts."""
    fault = chunk.fault or Fault(Reason.INTERNAL, "A chunk of the stream failed.")
    return MediaError(Reason(fault.reason), fault.message, **fault.metadata)


def check_edits(edits: Edits) -> None:
    """Raises FailedPrecondition (OPERATION_NOT_APPLICABLE) for edits that streams do not
    support."""
    if edits.watermarks or edits.normalize:
        name = "watermark" if edits.watermarks else "normalize"
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"`{name}` cannot precede `stream`. Transcode the video with `{name}` first.",
        )


def check_complete(stream: Stream, states: Mapping[str, TrackState]) -> None:
    """Raises InvalidArgument (MEDIA_CORRUPT) if a segment is missing."""
    ladder = stream.ladder
    last_segments = {states[rung.name].last if rung.name in states else 0 for rung in ladder.rungs}
    audio_names = {track.name for track in ladder.audio_tracks}
    for name in ladder.names:
        state = states.get(name)
        if name in audio_names and state is None:
            continue  # the audio track is empty
        missing = state is None or not state.segments or state.segments != state.last
        if missing or len(last_segments) > 1:
            raise corrupt("A part of the video cannot be decoded: segments are missing.")
