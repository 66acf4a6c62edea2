"""What players show above their timeline."""

import math
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

from media_service.codecs.ffmpeg.run import coding, opened, source
from media_service.codecs.output import Output
from media_service.codecs.pipeline.pipeline import COMPANION_SUFFIXES
from media_service.codecs.progress import ProgressCallback
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.frame_sampler import FrameSampler
from media_service.codecs.video.source import AvSource
from media_service.temporary_files import temporary_file

# Pictures, if nothing is said, and at most.
USUAL, MOST = 100, 400
PIXELS = "yuvj420p"
RAW = {"format": "image2", "vcodec": "rawvideo"}
SHEET = "sheet.jpg"


async def storyboard(
    stack: AsyncExitStack,
    film: AvSource,
    edits: Edits,
    message: Any,
    name: str,
    told: ProgressCallback,
) -> list[Output]:
    """The times (WebVTT), which name the rendition of the pictures, and the pictures (JPEG).
    Raises as `Program.wait`."""
    wanted = message.interval_seconds or max(1.0, edits.seconds / USUAL)
    interval = max(wanted, edits.seconds / MOST)
    count = max(1, min(MOST, -int(-edits.seconds // interval)))
    size = graph.scaled(graph.within((film.width, film.height), message.width), None)
    series = FrameSampler(size, interval, count, PIXELS, RAW, exact=False)
    columns = math.ceil(math.sqrt(count * size[1] / size[0]))
    grid = (columns, math.ceil(count / columns))

    pictures = stack.enter_context(temporary_file("media-render-"))
    before, missing = b"", 0
    async with aclosing(series.shots(film, edits, told)) as shots:
        async for shot in shots:
            before, missing = shot or before, missing + 1
            if before:  # stands for those that are not there
                pictures.write(before * missing)
                missing = 0
    pictures.flush()
    if not before:
        raise corrupt("The film has no picture that can be decoded.")
    sheet = await tiled(stack, Path(pictures.name), size, grid)
    text = stack.enter_context(temporary_file("media-render-"))
    text.write(cues(name, size, columns, count, interval, edits.seconds).encode())
    text.flush()
    return [
        Output(Path(text.name), "text/vtt", suffix=COMPANION_SUFFIXES["storyboard"]),
        Output(sheet, "image/jpeg", size[0] * grid[0], size[1] * grid[1]),
    ]


async def tiled(
    stack: AsyncExitStack, pictures: Path, size: graph.Size, grid: tuple[int, int]
) -> Path:
    """All pictures in one, row by row."""
    file = stack.enter_context(opened(pictures))
    stream = source(file, "rawvideo", video_size=size, pixel_format=PIXELS)
    stream = stream.filter("tile", f"{grid[0]}x{grid[1]}")
    output = stream.output(SHEET, vframes=1, vcodec="mjpeg", **{"q:v": 4})
    program = await stack.enter_async_context(coding(output, [file]))
    await program.wait()
    return program.folder / SHEET


def cues(
    name: str, size: graph.Size, columns: int, count: int, interval: float, seconds: float
) -> str:
    """Addresses are relative to that of this text, a rendition beside that of the pictures."""
    width, height = size
    lines = ["WEBVTT", ""]
    for number in range(count):
        start, end = number * interval, min((number + 1) * interval, seconds)
        x, y = number % columns * width, number // columns * height
        lines.append(f"{clock(start)} --> {clock(end)}")
        lines += [f"../{name}/content#xywh={x},{y},{width},{height}", ""]
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """`01:02:03.456`"""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{thousandths:03d}"
