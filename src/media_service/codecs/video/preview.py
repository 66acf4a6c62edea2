"""A short animation out of moments of a whole film."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import ffmpeg
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.ffmpeg.run import Seconds, coding, opened, source
from media_service.codecs.output import Output
from media_service.codecs.progress import ProgressCallback
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.video import filter_graph as graph
from media_service.codecs.video import track_coverage as presence
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource

# How long a moment is, about, and how many there are at most.
MOMENT_SECONDS, MOST = 0.8, 8
WEBP = {"vcodec": "libwebp_anim", "quality": 65, "compression_level": 4, "loop": 0}


async def preview(
    stack: AsyncExitStack, film: AvSource, edits: Edits, message: Any, told: ProgressCallback
) -> Output:
    """Plays again and again. Raises as `Program.wait`."""
    size = graph.within((film.width, film.height), message.width)
    parts = moments(edits, message.seconds)
    if not await any_picture(film, parts, size, message.frame_rate):
        # Its pictures end soon, as those of a sound that has one.
        end = min(edits.end, edits.start + message.seconds * edits.factor)
        parts = [replace(edits, end=end)]
        if not await any_picture(film, parts, size, message.frame_rate):
            raise corrupt("The film has no picture that can be decoded.")
    seconds = sum(part.seconds for part in parts)

    def progress(done: float) -> None:
        told(min(1.0, done / max(seconds, 0.001)))

    if message.format != Operation.GIF:
        pictures, files = played(stack, film, parts, size, message.frame_rate, "yuv420p")
        output = pictures.output("preview.webp", **WEBP)
        path = await written(stack, output, files, "preview.webp", progress)
        return Output(path, "image/webp", *size)
    # Its 256 colours are found first: otherwise all pictures would wait for them in memory.
    pictures, files = played(stack, film, parts, size, message.frame_rate, "rgb24")
    output = pictures.filter("palettegen", stats_mode="diff").output("palette.png", vframes=1)
    palette = stack.enter_context(opened(await written(stack, output, files, "palette.png")))
    pictures, files = played(stack, film, parts, size, message.frame_rate, "rgb24")
    pictures = ffmpeg.filter(
        [pictures, source(palette, "png_pipe")], "paletteuse", dither="bayer", bayer_scale=4
    )
    output = pictures.output("preview.gif", loop=0)
    path = await written(stack, output, [*files, palette], "preview.gif", progress)
    return Output(path, "image/gif", *size)


def moments(edits: Edits, seconds: float) -> list[Edits]:
    """Spread evenly, each in the middle of what it stands for; a short film as a whole."""
    if edits.seconds <= seconds:
        return [edits]
    count = max(1, min(MOST, round(seconds / MOMENT_SECONDS)))
    each = (edits.end - edits.start) / count
    length = seconds * edits.factor / count
    starts = [edits.start + number * each + (each - length) / 2 for number in range(count)]
    return [replace(edits, start=start, end=start + length) for start in starts]


async def any_picture(film: AvSource, parts: Sequence[Edits], size: graph.Size, rate: int) -> bool:
    async with AsyncExitStack() as stack:
        pictures, files = played(stack, film, parts, size, rate, "yuv420p")
        outputs = {"pictures": pictures.output("pictures", **presence.PICTURES)}
        return bool(await presence.present(outputs, files))


def played(
    stack: AsyncExitStack,
    film: AvSource,
    parts: Sequence[Edits],
    size: graph.Size,
    rate: int,
    pixels: str,
) -> tuple[graph.Node, list[int]]:
    """The pictures of all parts, one after another, and the files they come from."""
    # The first picture of a part may come late, the last go on beyond its end, or be the only one.
    even = {"fps": rate, "start_time": 0, "eof_action": "pass"}
    drawn = [graph.drawn(stack, film, part, size, rate=even, pixels=pixels) for part in parts]
    most = max(1, round(parts[0].seconds * rate))
    cut = [part.pictures.filter("trim", end_frame=most) for part in drawn]
    pictures = ffmpeg.concat(*(each.filter("setpts", "PTS-STARTPTS") for each in cut))
    return pictures, [file for part in drawn for file in part.files]


async def written(
    stack: AsyncExitStack,
    output: graph.Node,
    files: Sequence[int],
    name: str,
    progress: Seconds | None = None,
) -> Path:
    program = await stack.enter_async_context(coding(output, files, progress=progress))
    await program.wait()
    return program.folder / name
