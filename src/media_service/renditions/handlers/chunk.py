"""The jobs that encode the chunks of a stream's video."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.codecs.pipeline.route import find_route
from media_service.codecs.video.edits import Edits, collect_edits
from media_service.codecs.video.ladder import Ladder
from media_service.codecs.video.segment_encoder import encode_video
from media_service.codecs.video.source import AvSource
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.errors import Fault
from media_service.failpoints import failpoint
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState, Priority
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs
from media_service.media import queries as media_queries
from media_service.media.reader import not_found
from media_service.renditions.original_files import OriginalFiles
from media_service.renditions.streams import queries
from media_service.renditions.streams.model import Stream
from media_service.renditions.streams.segments import Segments

# The percentage of the job at which encoding starts and ends.
ENCODE_PERCENT, PUBLISH_PERCENT = 5, 98

# Takes the number of seconds that are encoded.
Report = Callable[[float], None]


class ChunkHandler(JobHandler):
    """Runs CHUNK jobs. The subject of a job is a media id. Its parent is the job of the stream.
    `encode_threads` is the number of threads per encoder; 0 means one per core."""

    kind = JobKind.CHUNK

    def __init__(
        self, database: Database, files: OriginalFiles, segments: Segments, encode_threads: int
    ) -> None:
        self._database = database
        self._files = files
        self._segments = segments
        self._threads = encode_threads

    async def run(self, claim: Claim, progress: Progress) -> None:
        async with self._database.connection() as db:
            stream = await queries.of_job(db, claim.parent_id or "")
            media = (await media_queries.get_many(db, [claim.subject_id])).get(claim.subject_id)
        if stream is None or media is None:  # the media was purged, or the stream failed
            raise not_found(claim.subject_id)
        async with AsyncExitStack() as stack:
            original = await self._files.open(stack, media)
            source = AvSource.of(original.path, media.content_type, original.info)
            route = find_route(stored_pipeline(claim.pipeline), media.kind)
            edits, _ = collect_edits(route.steps, source.duration_seconds)
            report = partial(report_seconds, progress, stream)
            await self.encode(claim, stream, source, edits, claim.subjob_number, report)
        failpoint("chunk.finish.before")
        async with self._database.connection() as db:
            await claimed_jobs.finish(db, claim, JobState.SUCCEEDED)
        failpoint("chunk.finish.after")

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        async with self._database.connection() as db:
            await claimed_jobs.finish(db, claim, JobState.FAILED, fault)

    async def encode(
        self,
        claim: Claim,
        stream: Stream,
        source: AvSource,
        edits: Edits,
        chunk: int,
        report: Report,
    ) -> None:
        """Encodes one chunk, numbered from 0. Raises the errors of `encode_video`."""
        ladder = stream.ladder
        deliver = self._segments.deliver(
            claim,
            stream,
            ladder.first_segment(chunk),
            chunk * ladder.chunk_frames * ladder.frame_ticks,
        )
        await encode_video(
            source, edits, ladder, chunk, deliver, threads=self._threads, report=report
        )


def chunk_jobs(claim: Claim, ladder: Ladder) -> list[NewJob]:
    """The jobs of all chunks of the stream that the claimed job encodes."""
    return [
        NewJob(
            JobKind.CHUNK,
            claim.subject_id,
            claim.owner,
            # A long video must not delay the owner's other jobs, such as ingests.
            Priority.LOW,
            pipeline=claim.pipeline,
            parent_id=claim.job_id,
            subjob_number=chunk,
            heavy=True,
        )
        for chunk in range(ladder.chunks)
    ]


def report_seconds(progress: Progress, stream: Stream, seconds: float) -> None:
    """Reports progress. `seconds` is the encoded duration of the chunk."""
    ladder = stream.ladder
    chunk_seconds = ladder.chunk_frames * ladder.rate[1] / ladder.rate[0]
    expected = min(chunk_seconds, ladder.seconds) or 1
    span = PUBLISH_PERCENT - ENCODE_PERCENT
    progress.report("encode", ENCODE_PERCENT + span * min(1, seconds / expected))
