"""The parts of which the graphs of ffmpeg are made."""

import math
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

from media_service.codecs.ffmpeg import run as coder
from media_service.codecs.ffmpeg.run import source
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource

# A stream of ffmpeg-python.
Node: TypeAlias = Any
Size: TypeAlias = tuple[int, int]

# What the two kinds of HDR are called by FFmpeg.
TRANSFERS = {"HDR_PQ": "smpte2084", "HDR_HLG": "arib-std-b67"}
# Sound is stretched by no more at a time: beyond that, atempo leaves some of it out.
SLOWEST, FASTEST = 0.5, 2.0
# What comes before a wanted time is opened with it, in seconds: decoders of sound need it to get
# it right, and the place they are put at is not always exact.
BEFORE = 0.5


def opened(film: AvSource, edits: Edits, file: int, **options: Any) -> Node:
    """What is kept of a film, as an input whose time begins at 0."""
    if edits.start > 0:
        options["ss"] = f"{edits.start:.6f}"
    if edits.end < film.duration_seconds:
        options["t"] = f"{edits.end - edits.start:.6f}"
    return source(file, film.demuxer, **options)


@dataclass(frozen=True, slots=True)
class Part:
    """What is kept of a film, exactly. `media`: the input, which begins earlier by `begin` seconds;
    it is kept until `end`, if that is not the end of the film."""

    media: Node
    begin: float
    end: float | None

    @classmethod
    def of(cls, film: AvSource, edits: Edits, file: int, **options: Any) -> Self:
        begin = min(edits.start, film.blind_seconds or BEFORE)
        media = opened(film, replace(edits, start=edits.start - begin), file, **options)
        whole = edits.end >= film.duration_seconds
        return cls(media, begin, None if whole else begin + edits.end - edits.start)

    def pictures(self) -> Node:
        # Cover art is no picture of a film.
        return self._kept(self.media["V:0"], "trim", "setpts")

    def sound(self, index: int) -> Node:
        """The one of this `index` among all that the film has."""
        return self._kept(self.media[f"a:{index}"], "atrim", "asetpts")

    def _kept(self, stream: Node, trim: str, setpts: str) -> Node:
        """Its time begins at 0, also if the stream itself does later."""
        if self.end is not None:
            stream = stream.filter(trim, start=f"{self.begin:.6f}", end=f"{self.end:.6f}")
        elif self.begin:
            stream = stream.filter(trim, start=f"{self.begin:.6f}")
        return stream.filter(setpts, f"PTS-{self.begin:.6f}/TB") if self.begin else stream


@dataclass(frozen=True, slots=True)
class Drawn:
    """A film in a graph: its pictures as they are to be seen, and its sounds. `files`: what the
    program needs for it."""

    pictures: Node
    sounds: list[Node]
    files: list[int]


def drawn(
    stack: AsyncExitStack,
    film: AvSource,
    edits: Edits,
    size: Size,
    *,
    rate: Mapping[str, Any] | None = None,
    pixels: str = "yuv420p",
    rough: bool = False,
    **options: Any,
) -> Drawn:
    """Opens a film, for as long as the stack lasts, and does to it what all that is made of it has
    in common. `rate`: how many pictures there are (ffmpeg's `fps`). `rough`: it begins where that
    takes least work, before the time wanted. `options`: of the input."""
    files = [stack.enter_context(coder.opened(film.path))]
    if rough:
        part = Part(opened(film, edits, files[0], noaccurate_seek=None, **options), 0.0, None)
    else:
        part = Part.of(film, edits, files[0], **options)
    # What was filmed for old television is no longer interlaced.
    pictures = part.pictures().filter("bwdif", "send_frame", deint="interlaced")
    pictures = faster(pictures, edits)
    if rate:
        pictures = pictures.filter("fps", **rate)
    pictures = shown(pictures, film, size, pixels)
    if edits.mark:
        files.append(stack.enter_context(coder.opened(edits.mark)))
        mark = source(files[1], "png_pipe").filter("scale", *size)
        pictures = pictures.overlay(mark, format="auto").filter("format", pixels)
    heard = () if edits.mute else film.sounds
    sounds = [sound_faster(part.sound(index), edits) for index, _ in heard]
    return Drawn(pictures, sounds, files)


def scaled(size: Size, short_side: int | None) -> Size:
    """The size of a film whose shorter side is at most that; even, as most encoders want it."""
    factor = min(1.0, (short_side or math.inf) / min(size))
    width, height = (max(2, min(round(side * factor / 2), side // 2) * 2) for side in size)
    return width, height


def within(size: Size, width: int) -> Size:
    """The size of a small picture of a film, of at most that width."""
    if size[0] <= width:
        return max(1, size[0]), max(1, size[1])
    return width, max(1, round(size[1] * width / size[0]))


def shown(stream: Node, film: AvSource, size: Size, pixels: str = "yuv420p") -> Node:
    """Pictures as they are to be seen: with square pixels, and in the range of an ordinary screen.
    ffmpeg has turned them upright by then."""
    width, height = size
    stream = stream.filter("scale", width, height, out_range="tv").filter("setsar", 1)
    if transfer := TRANSFERS.get(film.dynamic_range):
        stream = (
            # Not all that is HDR says in which colours, but there is one way to it in practice.
            stream.filter(
                "setparams", colorspace="bt2020nc", color_primaries="bt2020", color_trc=transfer
            )
            # Light as it is, then brought down to what a screen of 100 cd/m² can show (Hable).
            .filter("zscale", t="linear", npl=100)
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
    """Played faster, at the same pitch."""
    while factor > FASTEST:
        sound, factor = sound.filter("atempo", FASTEST), factor / FASTEST
    while factor < SLOWEST:
        sound, factor = sound.filter("atempo", SLOWEST), factor / SLOWEST
    return sound.filter("atempo", f"{factor:.9g}") if factor != 1 else sound
