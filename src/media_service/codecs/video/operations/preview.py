"""`preview`: a short animation from moments of a whole video."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import ffmpeg
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.av_task import AvTask
from media_service.codecs.ffmpeg.run import ReportSeconds, ffmpeg_input, open_file, run_ffmpeg
from media_service.codecs.output import Output
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.errors import no_decodable_frame
from media_service.codecs.video.filter_graph import Node, Size, edited_tracks, fit_width
from media_service.codecs.video.source import AvSource
from media_service.codecs.video.track_coverage import ONE_VIDEO_FRAME, VIDEO, nonempty_outputs

# The approximate duration of a moment, and the maximum number of moments.
MOMENT_SECONDS, MAX_MOMENTS = 0.8, 8
WEBP = {"vcodec": "libwebp_anim", "quality": 65, "compression_level": 4, "loop": 0}
WEBP_FILE, GIF_FILE, PALETTE_FILE = "preview.webp", "preview.gif", "palette.png"


@dataclass(frozen=True, slots=True)
class Moments:
    """The ranges of a source that the animation plays, and how it plays them."""

    source: AvSource
    ranges: Sequence[Edits]
    size: Size
    frame_rate: int

    def open(self, stack: AsyncExitStack, pixels: str) -> tuple[Node, list[int]]:
        """Returns the concatenated frames of all ranges, and the files that they are read from."""
        # The first frame of a range may come late, the last may go on beyond its end, and there may
        # be only one.
        rate = {"fps": self.frame_rate, "start_time": 0, "eof_action": "pass"}
        opened = [
            edited_tracks(stack, self.source, each, self.size, rate=rate, pixels=pixels)
            for each in self.ranges
        ]
        length = max(1, round(self.ranges[0].seconds * self.frame_rate))
        parts = [tracks.video.filter("trim", end_frame=length) for tracks in opened]
        video = ffmpeg.concat(*(part.filter("setpts", "PTS-STARTPTS") for part in parts))
        return video, [file for tracks in opened for file in tracks.files]

    async def have_frames(self) -> bool:
        async with AsyncExitStack() as stack:
            video, files = self.open(stack, "yuv420p")
            outputs = {VIDEO: video.output(VIDEO, **ONE_VIDEO_FRAME)}
            return bool(await nonempty_outputs(outputs, files, self.source.limits))


async def render(task: AvTask) -> Sequence[Output]:
    """Renders an animation that loops. Raises the errors of `Program.wait`."""
    moments = await find_moments(task)
    seconds = sum(each.seconds for each in moments.ranges)

    def progress(done: float) -> None:
        task.report(min(1.0, done / max(seconds, 0.001)))

    if task.message.format != Operation.GIF:
        video, files = moments.open(task.stack, "yuv420p")
        output = video.output(WEBP_FILE, **WEBP)
        path = await write(task, output, files, WEBP_FILE, progress)
        return [Output(path, "image/webp", *moments.size)]
    # The 256 colors of a GIF are computed in a separate pass. In a single pass, all frames would
    # have to wait in memory for them.
    video, files = moments.open(task.stack, "rgb24")
    output = video.filter("palettegen", stats_mode="diff").output(PALETTE_FILE, vframes=1)
    palette_path = await write(task, output, files, PALETTE_FILE)
    palette = task.stack.enter_context(open_file(palette_path))
    video, files = moments.open(task.stack, "rgb24")
    video = ffmpeg.filter(
        [video, ffmpeg_input(palette, "png_pipe")], "paletteuse", dither="bayer", bayer_scale=4
    )
    output = video.output(GIF_FILE, loop=0)
    path = await write(task, output, [*files, palette], GIF_FILE, progress)
    return [Output(path, "image/gif", *moments.size)]


async def find_moments(task: AvTask) -> Moments:
    """Selects the moments. Raises InvalidArgument (MEDIA_CORRUPT) if there is no frame."""
    source, edits, message = task.source, task.edits, task.message
    size = fit_width((source.width, source.height), message.max_width)
    moments = Moments(source, spread(edits, message.duration_seconds), size, message.frame_rate)
    if await moments.have_frames():
        return moments
    # The video track ends early, as in an audio file with one frame.
    end = min(edits.end, edits.start + message.duration_seconds * edits.speed)
    moments = replace(moments, ranges=[replace(edits, end=end)])
    if await moments.have_frames():
        return moments
    raise no_decodable_frame()


def spread(edits: Edits, seconds: float) -> list[Edits]:
    """Returns evenly spaced ranges with a total of `seconds`, or the whole video if it is
    shorter."""
    if edits.seconds <= seconds:
        return [edits]
    count = max(1, min(MAX_MOMENTS, round(seconds / MOMENT_SECONDS)))
    distance = (edits.end - edits.start) / count
    length = seconds * edits.speed / count
    starts = [edits.start + number * distance + (distance - length) / 2 for number in range(count)]
    return [replace(edits, start=start, end=start + length) for start in starts]


async def write(
    task: AvTask,
    output: Node,
    files: Sequence[int],
    name: str,
    progress: ReportSeconds | None = None,
) -> Path:
    running = run_ffmpeg(output, files, limits=task.source.limits, progress=progress)
    program = await task.stack.enter_async_context(running)
    await program.wait()
    return program.folder / name
