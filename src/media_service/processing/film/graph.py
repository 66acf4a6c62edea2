"""The parts of which the graphs of ffmpeg are made."""

from typing import Any, TypeAlias

from media_service.processing.ffmpeg.coder import source
from media_service.processing.film.edits import Edits
from media_service.processing.film.film import Film

# A stream of ffmpeg-python.
Node: TypeAlias = Any
Size: TypeAlias = tuple[int, int]

HDR = ("HDR_PQ", "HDR_HLG")


def opened(film: Film, edits: Edits, file: int, **options: Any) -> Node:
    """What is kept of a film, as an input whose time begins at 0."""
    if edits.start > 0:
        options["ss"] = f"{edits.start:.6f}"
    if edits.end < film.duration_seconds:
        options["t"] = f"{edits.end - edits.start:.6f}"
    return source(file, film.demuxer, **options)


def scaled(size: Size, short_side: int | None) -> Size:
    """The size of a film whose shorter side is at most that; even, as most encoders want it."""
    width, height = size
    if short_side and min(size) > short_side:
        factor = short_side / min(size)
        return max(2, round(width * factor / 2) * 2), max(2, round(height * factor / 2) * 2)
    return max(2, width // 2 * 2), max(2, height // 2 * 2)


def within(size: Size, width: int) -> Size:
    """The size of a small picture of a film, of at most that width."""
    if size[0] <= width:
        return max(1, size[0]), max(1, size[1])
    return width, max(1, round(size[1] * width / size[0]))


def shown(stream: Node, film: Film, size: Size, pixels: str = "yuv420p") -> Node:
    """Pictures as they are to be seen: with square pixels, and in the range of an ordinary screen.
    ffmpeg has turned them upright by then."""
    width, height = size
    stream = stream.filter("scale", width, height, out_range="tv").filter("setsar", 1)
    if film.dynamic_range in HDR:
        stream = (
            # Light as it is, then brought down to what a screen of 100 cd/m² can show (Hable).
            stream.filter("zscale", t="linear", npl=100)
            .filter("format", "gbrpf32le")
            .filter("zscale", p="bt709")
            .filter("tonemap", "hable", desat=0)
            .filter("zscale", t="bt709", m="bt709", r="tv")
        )
    return stream.filter("format", pixels)


def faster(stream: Node, edits: Edits) -> Node:
    return stream.filter("setpts", f"PTS/{edits.factor:.9g}") if edits.factor != 1 else stream


def sound_faster(stream: Node, edits: Edits) -> Node:
    return paced(stream, edits.factor)


def paced(sound: Node, factor: float) -> Node:
    """Played faster, at the same pitch. More than twice as fast at once would leave pieces out."""
    while factor > 2:
        sound, factor = sound.filter("atempo", 2), factor / 2
    while factor < 0.5:
        sound, factor = sound.filter("atempo", 0.5), factor * 2
    return sound.filter("atempo", f"{factor:.9g}") if factor != 1 else sound
