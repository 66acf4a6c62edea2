"""A picture of a sound."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from media_service.codecs.audio.peaks import Peaks
from media_service.codecs.ffmpeg.run import coding, opened, source
from media_service.codecs.output import Output
from media_service.temporary_files import temporary_file

# Rows that are drawn in one go.
BAND = 64
# How much of a pixel is covered, in steps: 256 colours are what a palette has.
STEPS = 255
# Of a silent moment, in pixels, so that there is a line.
THINNEST = 1.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """`color`, `background`: as in the contract; no background: transparent."""

    width: int
    height: int
    color: str
    background: str
    webp: bool


async def drawn(stack: AsyncExitStack, drawing: Drawing, peaks: Peaks) -> Output:
    """ffmpeg only writes it: it gets pixels, each a number of a colour, and then the colours."""
    raw = stack.enter_context(temporary_file("media-render-"))
    pixels = await asyncio.to_thread(painted, columns(peaks, drawing.width), drawing.height)
    raw.write(pixels.tobytes() + palette(drawing.color, drawing.background).tobytes())
    raw.flush()
    file = stack.enter_context(opened(Path(raw.name)))
    size = (drawing.width, drawing.height)
    stream = source(file, "rawvideo", pixel_format="pal8", video_size=size)
    name, kind = "waveform.png", "image/png"
    options = {"vcodec": "png", "pred": "mixed"}
    if drawing.webp:
        name, kind = "waveform.webp", "image/webp"
        options = {"vcodec": "libwebp", "lossless": "1", "pix_fmt": "bgra"}
    output = stream.output(name, vframes=1, fflags="+bitexact", **options)
    program = await stack.enter_async_context(coding(output, [file]))
    await program.wait()
    return Output(program.folder / name, kind, drawing.width, drawing.height)


def columns(peaks: Peaks, width: int) -> npt.NDArray[np.float64]:
    """For each column of a picture the smallest and the largest sample, -1 to 1."""
    edges = np.arange(width + 1) * len(peaks) // width
    first, last = edges[:-1], np.maximum(edges[1:], edges[:-1] + 1)
    lows = [peaks[a:b, 0].min() for a, b in zip(first, last, strict=True)]
    highs = [peaks[a:b, 1].max() for a, b in zip(first, last, strict=True)]
    return np.array([lows, highs]) / 32768


def painted(columns: npt.NDArray[np.float64], height: int) -> npt.NDArray[np.uint8]:
    """How much of each pixel is covered."""
    low, high = (1 - columns) / 2 * height
    thin = np.maximum(0, THINNEST - (low - high)) / 2
    top, bottom = np.clip(high - thin, 0, height), np.clip(low + thin, 0, height)
    pixels = np.empty((height, columns.shape[1]), np.uint8)
    for begin in range(0, height, BAND):
        rows = np.arange(begin, min(begin + BAND, height))[:, None]
        covered = np.minimum(bottom, rows + 1) - np.maximum(top, rows)
        pixels[begin : begin + len(rows)] = np.rint(np.clip(covered, 0, 1) * STEPS)
    return pixels


def palette(color: str, background: str) -> npt.NDArray[np.uint32]:
    """From the background to the colour laid over it, as ffmpeg has it: 0xAARRGGBB."""
    front, back = rgba(color), rgba(background or "00000000")
    part = np.linspace(0, 1, STEPS + 1)[:, None] * front[3]
    alpha = part + back[3] * (1 - part)
    shown = front[:3] * part + back[:3] * back[3] * (1 - part)
    shown = np.divide(shown, alpha, out=np.tile(front[:3], (STEPS + 1, 1)), where=alpha > 0)
    red, green, blue = np.rint(shown * 255).astype(np.uint32).T
    opaque = np.rint(alpha[:, 0] * 255).astype(np.uint32)
    colors: npt.NDArray[np.uint32] = opaque << 24 | red << 16 | green << 8 | blue
    return colors


def rgba(color: str) -> npt.NDArray[np.float64]:
    """0 to 1."""
    whole = "".join(c * 2 for c in color) if len(color) == 3 else color
    return np.array([*bytes.fromhex(whole.ljust(8, "f"))]) / 255
