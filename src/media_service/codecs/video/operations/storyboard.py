"""`storyboard`: the preview frames that players show above their timeline."""

import math
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from media_service.codecs.av_task import AvTask
from media_service.codecs.ffmpeg.run import ffmpeg_input, open_file, run_ffmpeg
from media_service.codecs.output import Output
from media_service.codecs.pipeline.pipeline import COMPANION_SUFFIXES
from media_service.codecs.video.errors import no_decodable_frame
from media_service.codecs.video.filter_graph import Size, fit_short_side, fit_width
from media_service.codecs.video.frame_sampler import FrameSampler
from media_service.temporary_files import temporary_file

DEFAULT_FRAMES, MAX_FRAMES = 100, 400
PIXELS = "yuvj420p"
RAW = {"format": "image2", "vcodec": "rawvideo"}
SHEET = "sheet.jpg"


async def render(task: AvTask) -> Sequence[Output]:
    """Renders the cues (WebVTT), which refer to the rendition of the frames, and the frames in one
    JPEG. Raises the errors of `Program.wait`."""
    source, edits, message = task.source, task.edits, task.message
    wanted = message.interval_seconds or max(1.0, edits.seconds / DEFAULT_FRAMES)
    interval = max(wanted, edits.seconds / MAX_FRAMES)
    count = max(1, min(MAX_FRAMES, -int(-edits.seconds // interval)))
    size = fit_short_side(fit_width((source.width, source.height), message.max_width), None)
    sampler = FrameSampler(size, interval, count, PIXELS, RAW, exact=False)
    columns = math.ceil(math.sqrt(count * size[1] / size[0]))
    grid = (columns, math.ceil(count / columns))

    raw_frames = task.stack.enter_context(temporary_file("media-render-"))
    last, number, written, covered = b"", 0, 0, 0.0
    async with aclosing(sampler.frames(source, edits, task.report)) as frames:
        async for frame in frames:
            number += 1
            if frame:  # from the middle of its interval
                last, covered = frame, (number + 0.5) * interval
            if last:  # it also stands for the missing ones
                raw_frames.write(last * (number - written))
                written = number
    raw_frames.flush()
    if not last:
        raise no_decodable_frame()
    sheet = await tile_frames(task.stack, Path(raw_frames.name), size, grid)
    times = task.stack.enter_context(temporary_file("media-render-"))
    cues = write_cues(task.rendition, size, columns, count, interval, edits.seconds)
    times.write(cues.encode())
    times.flush()
    return [
        Output(Path(times.name), "text/vtt", suffix=COMPANION_SUFFIXES["storyboard"]),
        Output(sheet, "image/jpeg", size[0] * grid[0], size[1] * grid[1], seconds=covered),
    ]


async def tile_frames(
    stack: AsyncExitStack, raw_frames: Path, size: Size, grid: tuple[int, int]
) -> Path:
    """Tiles all frames in one image, row by row."""
    file = stack.enter_context(open_file(raw_frames))
    node = ffmpeg_input(file, "rawvideo", video_size=size, pixel_format=PIXELS)
    node = node.filter("tile", f"{grid[0]}x{grid[1]}")
    output = node.output(SHEET, vframes=1, vcodec="mjpeg", **{"q:v": 4})
    program = await stack.enter_async_context(run_ffmpeg(output, [file]))
    await program.wait()
    return program.folder / SHEET


def write_cues(
    rendition: str, size: Size, columns: int, count: int, interval: float, seconds: float
) -> str:
    """Returns the WebVTT cues. Their URLs are relative: the frames are a rendition of the same
    media."""
    width, height = size
    lines = ["WEBVTT", ""]
    for number in range(count):
        start, end = number * interval, min((number + 1) * interval, seconds)
        x, y = number % columns * width, number // columns * height
        lines.append(f"{timestamp(start)} --> {timestamp(end)}")
        lines += [f"../{rendition}/content#xywh={x},{y},{width},{height}", ""]
    return "\n".join(lines)


def timestamp(seconds: float) -> str:
    """`01:02:03.456`"""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{milliseconds:03d}"
