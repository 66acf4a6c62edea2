"""`frame`: one frame of a video, as an image."""

import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.av_task import AvTask
from media_service.codecs.ffmpeg.run import run_ffmpeg
from media_service.codecs.output import Output
from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.errors import no_decodable_frame
from media_service.codecs.video.source import AvSource
from media_service.codecs.video.track_coverage import ONE_VIDEO_FRAME

PNG = "image/png"
FILENAME = "frame.png"
# The number of frames from which a representative one is chosen.
CANDIDATES = 100
# The percentage of black pixels from which a frame is not a candidate.
BLACK_PERCENT = 98
# The width of the candidates while they are compared.
CANDIDATE_WIDTH = 320
# A tolerance shorter than any frame. Without it, a time that was rounded up selects the next frame.
ROUNDING_SECONDS = 0.001
# The first range before the end that is searched for the last frame.
LAST_SECONDS = 1.0


async def render(task: AvTask) -> Sequence[Output]:
    """Renders a PNG in the size of the video. Without a time, it shows a representative frame
    (ffmpeg's `thumbnail` filter), which is black only if all frames are black.

    Raises the errors of `Program.wait`.
    """
    stack, source, edits = task.stack, task.source, task.edits
    time = requested_time(edits, task.message)
    if time is None:
        time = await representative_time(source, edits, skip_frame="nokey")
        if time is None:  # every key frame is black, or the video has none
            time = await representative_time(source, edits)
        time = edits.start if time is None else time
    output = await first_frame_from(stack, source, edits, time)
    output = output or await last_frame_before(stack, source, edits, time)
    if output is None:
        raise no_decodable_frame()
    return [output]


def requested_time(edits: Edits, message: Operation.Frame) -> float | None:
    """Returns the requested time in seconds of the original."""
    if message.HasField("time_seconds"):
        wanted = message.time_seconds * edits.speed
    elif message.HasField("percent"):
        wanted = (edits.end - edits.start) * message.percent / 100
    else:
        return None
    return min(edits.start + wanted, edits.end)


async def first_frame_from(
    stack: AsyncExitStack, source: AvSource, edits: Edits, start: float
) -> Output | None:
    """Returns the first frame at or after `start`, or None if there is none."""
    size = (source.width, source.height)
    rest = replace(edits, start=start, end=source.duration_seconds, speed=1.0)
    tracks = graph.edited_tracks(stack, source, rest, size, pixels="rgb24")
    return await write_png(stack, source, tracks.video, tracks.files)


async def last_frame_before(
    stack: AsyncExitStack, source: AvSource, edits: Edits, end: float
) -> Output | None:
    """Returns the last frame before `end`, or None if there is none. Searches ranges of increasing
    length."""
    size = (source.width, source.height)
    back = LAST_SECONDS
    while True:
        start = max(edits.start, end - back)
        rest = replace(edits, start=start, end=source.duration_seconds, speed=1.0)
        # Without a constant rate, tpad would not know the duration of frames.
        tracks = graph.edited_tracks(
            stack, source, rest, size, rate=source.constant_rate, pixels="rgb24"
        )
        # Repeat the last frame without end, and so beyond `end`.
        video = tracks.video.filter("tpad", stop=-1, stop_mode="clone")
        video = video.filter("trim", start=f"{end - start:.6f}")
        output = await write_png(stack, source, video, tracks.files)
        if output or start == edits.start:
            return output
        back *= 2


async def representative_time(source: AvSource, edits: Edits, **options: Any) -> float | None:
    """Returns the time of a representative frame in seconds of the original, or None if all
    candidates are black. `options` are options of the input: to decode only the key frames, which
    are spread over the video, is a hundredth of the work.

    Scales the candidates down, because they are in memory at the same time.
    """
    size = graph.fit_width((source.width, source.height), CANDIDATE_WIDTH)
    size = graph.fit_short_side(size, None)
    async with AsyncExitStack() as stack:
        rest = replace(edits, speed=1.0, watermark_frame=None)
        tracks = graph.edited_tracks(stack, source, rest, size, **options)
        video = tracks.video.filter("blackframe", 0)
        black = {"key": "lavfi.blackframe.pblack", "value": BLACK_PERCENT, "function": "less"}
        video = video.filter("metadata", "select", **black).filter("thumbnail", CANDIDATES)
        exact_times = {"fps_mode": "passthrough", "enc_time_base": "demux"}
        output = video.output(FILENAME, **ONE_VIDEO_FRAME, **exact_times)
        running = run_ffmpeg(output, tracks.files, limits=source.limits)
        program = await stack.enter_async_context(running)
        await program.wait()
        text = (program.folder / FILENAME).read_text()
    time_base = re.search(r"^#tb 0: (\d+)/(\d+)$", text, re.MULTILINE)
    pts = re.search(r"^0, +-?\d+, +(-?\d+),", text, re.MULTILINE)
    if not (time_base and pts):
        return None
    seconds = int(pts[1]) * int(time_base[1]) / int(time_base[2])
    return max(edits.start, edits.start + seconds - ROUNDING_SECONDS)


async def write_png(
    stack: AsyncExitStack, source: AvSource, video: graph.Node, files: Sequence[int]
) -> Output | None:
    """Writes the first frame of a node. Returns None if it has no frame."""
    output = video.output(FILENAME, vframes=1, vcodec="png", pred="none", compression_level=1)
    program = await stack.enter_async_context(run_ffmpeg(output, files, limits=source.limits))
    await program.wait()
    path = program.folder / FILENAME
    return Output(path, PNG, source.width, source.height) if path.exists() else None
