"""`audio`: encodes the first audio track as an audio file."""

from collections.abc import Sequence

from media_service.codecs.audio.edited_track import edited_track, no_audio_track
from media_service.codecs.audio.encoder_settings import encoding_for
from media_service.codecs.audio.loudness import loudness_correction
from media_service.codecs.av_task import AvTask
from media_service.codecs.ffmpeg.run import open_file, run_ffmpeg
from media_service.codecs.output import Output
from media_service.codecs.progress import report_range, report_seconds

# Drop the original's tags, chapters and cover art.
WITHOUT_METADATA = {
    "map_metadata": -1,
    "map_chapters": -1,
    "fflags": "+bitexact",
    "flags:a": "+bitexact",
}


async def render(task: AvTask) -> Sequence[Output]:
    """Encodes as configured in `edits.audio`, or like the original if it is not set.

    Raises the errors of `Program.wait`, and FailedPrecondition (OPERATION_NOT_APPLICABLE) if no
    audio is left.
    """
    source, edits = task.source, task.edits
    encoding = encoding_for(source, edits.audio)
    begin = 0.6 if edits.normalize else 0.0
    report = report_range(task.report, 0, begin)
    correction = await loudness_correction(source, edits, report, encoding.channels)
    report_encoded = report_seconds(report_range(task.report, begin, 1), edits.seconds)
    encoded = 0.0

    def progress(seconds: float) -> None:
        nonlocal encoded
        encoded = seconds
        report_encoded(seconds)

    file = task.stack.enter_context(open_file(source.path))
    node = correction.applied(edited_track(source, edits, file, encoding.channels))
    if encoding.layouts:
        node = node.filter("aformat", channel_layouts=encoding.layouts)
    output = node.output(encoding.filename, **WITHOUT_METADATA, **encoding.options)
    running = run_ffmpeg(output, [file], limits=source.limits, progress=progress)
    program = await task.stack.enter_async_context(running)
    await program.wait()
    if not encoded:
        raise no_audio_track()
    return [Output(program.folder / encoding.filename, encoding.content_type)]
