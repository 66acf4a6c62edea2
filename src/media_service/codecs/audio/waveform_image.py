"""Draws a waveform."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from media_service.codecs.audio.peaks import Peaks
from media_service.codecs.ffmpeg.run import ffmpeg_input, open_file, run_ffmpeg
from media_service.codecs.output import Output
from media_service.temporary_files import temporary_file

# Rows per step of the drawing.
BAND_ROWS = 64
# The number of steps of a pixel's coverage. Together with 0, they are the 256 colors of a palette.
COVERAGE_STEPS = 255
# The height of the line where the audio is silent, in pixels.
MIN_THICKNESS = 1.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """How to draw a waveform. `color` and `background` are as in the API. An empty background is
    transparent."""

    width: int
    height: int
    color: str
    background: str
    webp: bool


async def draw_waveform(stack: AsyncExitStack, drawing: Drawing, peaks: Peaks) -> Output:
    """Draws the pixels as palette indices. ffmpeg only encodes them."""
    raw = stack.enter_context(temporary_file("media-render-"))
    extents = column_extents(peaks, drawing.width)
    pixels = await asyncio.to_thread(coverage, extents, drawing.height)
    raw.write(pixels.tobytes() + palette(drawing.color, drawing.background).tobytes())
    raw.flush()
    file = stack.enter_context(open_file(Path(raw.name)))
    size = (drawing.width, drawing.height)
    node = ffmpeg_input(file, "rawvideo", pixel_format="pal8", video_size=size)
    name, content_type = "waveform.png", "image/png"
    options = {"vcodec": "png", "pred": "mixed"}
    if drawing.webp:
        name, content_type = "waveform.webp", "image/webp"
        options = {"vcodec": "libwebp", "lossless": "1", "pix_fmt": "bgra"}
    output = node.output(name, vframes=1, fflags="+bitexact", **options)
    program = await stack.enter_async_context(run_ffmpeg(output, [file]))
    await program.wait()
    return Output(program.folder / name, content_type, drawing.width, drawing.height)


def column_extents(peaks: Peaks, width: int) -> npt.NDArray[np.float64]:
    """The smallest and the largest sample of each column, from -1 to 1."""
    edges = np.arange(width + 1) * len(peaks) // width
    first, last = edges[:-1], np.maximum(edges[1:], edges[:-1] + 1)
    lows = [peaks[a:b, 0].min() for a, b in zip(first, last, strict=True)]
    highs = [peaks[a:b, 1].max() for a, b in zip(first, last, strict=True)]
    return np.array([lows, highs]) / 32768


def coverage(extents: npt.NDArray[np.float64], height: int) -> npt.NDArray[np.uint8]:
    """How much of each pixel the waveform covers."""
    low, high = (1 - extents) / 2 * height
    missing = np.maximum(0, MIN_THICKNESS - (low - high)) / 2
    top, bottom = np.clip(high - missing, 0, height), np.clip(low + missing, 0, height)
    pixels = np.empty((height, extents.shape[1]), np.uint8)
    for begin in range(0, height, BAND_ROWS):
        rows = np.arange(begin, min(begin + BAND_ROWS, height))[:, None]
        covered = np.minimum(bottom, rows + 1) - np.maximum(top, rows)
        pixels[begin : begin + len(rows)] = np.rint(np.clip(covered, 0, 1) * COVERAGE_STEPS)
    return pixels


def palette(color: str, background: str) -> npt.NDArray[np.uint32]:
    """Returns the colors from the background to the waveform, in ffmpeg's format 0xAARRGGBB."""
    front, back = rgba(color), rgba(background or "00000000")
    part = np.linspace(0, 1, COVERAGE_STEPS + 1)[:, None] * front[3]
    alpha = part + back[3] * (1 - part)
    blended = front[:3] * part + back[:3] * back[3] * (1 - part)
    transparent = np.tile(front[:3], (COVERAGE_STEPS + 1, 1))
    blended = np.divide(blended, alpha, out=transparent, where=alpha > 0)
    red, green, blue = np.rint(blended * 255).astype(np.uint32).T
    opacity = np.rint(alpha[:, 0] * 255).astype(np.uint32)
    colors: npt.NDArray[np.uint32] = opacity << 24 | red << 16 | green << 8 | blue
    return colors


def rgba(color: str) -> npt.NDArray[np.float64]:
    """Red, green, blue and alpha, from 0 to 1."""
    digits = "".join(c * 2 for c in color) if len(color) == 3 else color
    return np.array([*bytes.fromhex(digits.ljust(8, "f"))]) / 255
