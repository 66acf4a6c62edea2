"""Renders video and audio files in confined child processes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.audio import operations as audio_operations
from media_service.codecs.av_comparison import AvComparison
from media_service.codecs.av_task import AvTask
from media_service.codecs.discovery import discover
from media_service.codecs.image.source import ImageSource
from media_service.codecs.image_renderer import ImageRenderer
from media_service.codecs.inspector import Inspector
from media_service.codecs.output import Output
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.pipeline import Step
from media_service.codecs.progress import ReportProgress
from media_service.codecs.video import operations as video_operations
from media_service.codecs.video import track_coverage
from media_service.codecs.video.edits import collect_edits
from media_service.codecs.video.source import AvSource
from media_service.codecs.video.watermark import watermark_frame
from media_service.errors import FailedPrecondition, Reason

# The operations that need a video track, and those that need an audio track.
VIDEO_OPERATIONS, AUDIO_OPERATIONS = discover(video_operations), discover(audio_operations)
OPERATIONS = {**VIDEO_OPERATIONS, **AUDIO_OPERATIONS}
# The operations that are appended to a pipeline of edits only, for video and for audio.
TRANSCODE = Step(*fields.unpack(fields.with_defaults(Operation(transcode=Operation.Transcode()))))
AUDIO = Step("audio", None)


class AvRenderer:
    """Renders video and audio pipelines. `renderer` draws watermarks. `inspector` reads results to
    compare them with their originals. `profiles` has the maximum video bit rate in kbit/s for each
    shorter side in pixels."""

    def __init__(
        self, renderer: ImageRenderer, inspector: Inspector, profiles: Mapping[int, int]
    ) -> None:
        self._renderer = renderer
        self._comparison = AvComparison(inspector)
        self._profiles = profiles

    @asynccontextmanager
    async def render(
        self,
        source: AvSource,
        steps: Sequence[Step],
        overlays: Mapping[str, ImageSource],
        report: ReportProgress,
        *,
        name: str,
    ) -> AsyncIterator[Sequence[Output]]:
        """Runs the video and audio steps of a pipeline. Yields its output files, the main one last.

        `overlays` has the images that the pipeline names, by media id. `name` is the name of the
        rendition. The files exist until the context ends. Leaving the context kills running
        processes.

        Raises InvalidArgument (MEDIA_CORRUPT, PROCESSING_LIMIT_EXCEEDED), FailedPrecondition
        (OPERATION_NOT_APPLICABLE), DataLoss (BLOB_MISSING), Unavailable (STORAGE_UNAVAILABLE,
        PROCESSING_UNAVAILABLE).
        """
        edits, following = collect_edits(steps, source.duration_seconds)
        audio_only = edits.audio or not source.has_video
        operation, message = following[0] if following else AUDIO if audio_only else TRANSCODE
        needs_video = operation in VIDEO_OPERATIONS
        if needs_video and not source.has_video:
            raise no_video_track(operation)
        source = await track_coverage.without_empty_tracks(source, edits, needs_video=needs_video)
        async with AsyncExitStack() as stack:
            frame = await watermark_frame(stack, self._renderer, source, edits.watermarks, overlays)
            edits = replace(edits, watermark_frame=frame)
            task = AvTask(stack, source, edits, message, name, self._profiles, report)
            outputs = await OPERATIONS[operation].render(task)
            await self._comparison.check(operation, task, outputs[-1])
            yield outputs


def no_video_track(operation: str) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.OPERATION_NOT_APPLICABLE,
        f"The media has no video track, which {operation} needs.",
    )
