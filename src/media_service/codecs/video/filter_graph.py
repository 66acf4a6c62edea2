"""Building blocks of ffmpeg filter graphs."""

import math
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

from media_service.codecs.ffmpeg.run import ffmpeg_input, open_file
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.source import AvSource

# A stream of ffmpeg-python.
Node: TypeAlias = Any
Size: TypeAlias = tuple[int, int]

# FFmpeg's names for the two HDR transfer functions.
TRANSFERS = {"HDR_PQ": "smpte2084", "HDR_HLG": "arib-std-b67"}
# The color matrices (ITU-T H.273) that the filter `scale` knows: RGB, BT.709, unspecified, FCC,
# BT.470, BT.601, SMPTE 240M and BT.2020 with non-constant luminance.
KNOWN_MATRICES = {0, 1, 2, 4, 5, 6, 7, 9}
# Pixels are shown at most ten times as wide as high, so such frames have more than four columns.
MIN_INTERLACED_SIZE = 48
# The range of factors for one atempo filter. Beyond it, the filter skips samples.
MIN_TEMPO, MAX_TEMPO = 0.5, 2.0
# The seconds by which an input begins before the wanted time. Audio decoders need this run-up, and
# seeks are not always exact.
RUN_UP_SECONDS = 0.5


def open_range(source: AvSource, edits: Edits, file: int, **options: Any) -> Node:
    """The range of `edits` as an input whose time begins at 0."""
    if edits.start > 0:
        options["ss"] = f"{edits.start:.6f}"
    if edits.end < source.duration_seconds:
        options["t"] = f"{edits.end - edits.start:.6f}"
    return ffmpeg_input(file, source.demuxer, **options)


@dataclass(frozen=True, slots=True)
class TrimmedInput:
    """An input trimmed to exactly the range of some edits. `node` begins `begin` seconds before the
    range. `end` is the end of the range in the time of `node`, or None for the end of the file.
    `video_selector` selects the video track of `node`."""

    node: Node
    begin: float
    end: float | None
    video_selector: str

    @classmethod
    def of(cls, source: AvSource, edits: Edits, file: int, **options: Any) -> Self:
        begin = min(edits.start, source.seek_margin_seconds or RUN_UP_SECONDS)
        if not source.can_seek(edits.start - begin):
            begin = edits.start
        node = open_range(source, replace(edits, start=edits.start - begin), file, **options)
        to_end = edits.end >= source.duration_seconds
        end = None if to_end else begin + edits.end - edits.start
        return cls(node, begin, end, source.video_selector)

    def video_track(self) -> Node:
        return self._trimmed(self.node[self.video_selector], "trim", "setpts")

    def audio_track(self, index: int) -> Node:
        """Returns an audio track. `index` is its index among all audio tracks of the file."""
        return self._trimmed(self.node[f"a:{index}"], "atrim", "asetpts")

    def _trimmed(self, track: Node, trim: str, setpts: str) -> Node:
        """Trims a track. The begin of the range becomes time 0, even if the track begins later."""
        if self.end is not None:
            track = track.filter(trim, start=f"{self.begin:.6f}", end=f"{self.end:.6f}")
        elif self.begin:
            track = track.filter(trim, start=f"{self.begin:.6f}")
        return track.filter(setpts, f"PTS-{self.begin:.6f}/TB") if self.begin else track


@dataclass(frozen=True, slots=True)
class EditedTracks:
    """The tracks of a source in a graph, edited and ready for display. `files` are the descriptors
    of the files that the program must have open."""

    video: Node
    audio: list[Node]
    files: list[int]


def edited_tracks(
    stack: AsyncExitStack,
    source: AvSource,
    edits: Edits,
    size: Size,
    *,
    rate: Mapping[str, Any] | None = None,
    pixels: str = "yuv420p",
    coarse_seek: bool = False,
    **options: Any,
) -> EditedTracks:
    """Opens a source until `stack` closes, and applies the edits that all outputs share.

    `rate` has options of ffmpeg's `fps` filter. With `coarse_seek`, the source begins at the key
    frame before the wanted time, which is fastest. `options` are options of the input.
    """
    files = [stack.enter_context(open_file(source.path))]
    if coarse_seek:
        start = edits.start if source.can_seek(edits.start) else 0.0
        from_start = replace(edits, start=start)
        node = open_range(source, from_start, files[0], noaccurate_seek=None, **options)
        trimmed = TrimmedInput(node, 0.0, None, source.video_selector)
    else:
        trimmed = TrimmedInput.of(source, edits, files[0], **options)
    video = deinterlaced(trimmed.video_track(), source)
    if edits.speed != 1:
        video = video.filter("setpts", f"PTS/{edits.speed:.9g}")
    if rate:
        video = video.filter("fps", **rate)
    video = for_display(video, source, size, pixels)
    if edits.watermark_frame:
        files.append(stack.enter_context(open_file(edits.watermark_frame)))
        watermark = ffmpeg_input(files[1], "png_pipe").filter("scale", *size)
        video = video.overlay(watermark, format="auto").filter("format", pixels)
    wanted = () if edits.mute else source.audio_tracks
    audio = [change_tempo(trimmed.audio_track(index), edits.speed) for index, _ in wanted]
    return EditedTracks(video, audio, files)


def fit_short_side(size: Size, short_side: int | None) -> Size:
    """Scales down to at most that shorter side and to even numbers, which most encoders require."""
    factor = min(1.0, (short_side or math.inf) / min(size))
    width, height = (max(2, min(round(side * factor / 2), side // 2) * 2) for side in size)
    return width, height


def fit_width(size: Size, width: int) -> Size:
    """Scales down to at most that width."""
    if size[0] <= width:
        return max(1, size[0]), max(1, size[1])
    return width, max(1, round(size[1] * width / size[0]))


def deinterlaced(video: Node, source: AvSource) -> Node:
    """The filter refuses frames of one or two columns or lines. No interlaced video is that
    small."""
    if min(source.width, source.height) < MIN_INTERLACED_SIZE:
        return video
    return video.filter("bwdif", "send_frame", deint="interlaced")


def for_display(video: Node, source: AvSource, size: Size, pixels: str = "yuv420p") -> Node:
    """Frames with square pixels, in standard dynamic range. ffmpeg rotates them itself."""
    width, height = size
    if source.video_track.matrix not in KNOWN_MATRICES:
        # Like most players. The filter `scale` would refuse the frames.
        video = video.filter("setparams", colorspace="unknown")
    video = video.filter("scale", width, height, out_range="tv").filter("setsar", 1)
    if transfer := TRANSFERS.get(source.dynamic_range):
        video = (
            # Not every HDR file names its color space, but in practice there is only one.
            video.filter(
                "setparams", colorspace="bt2020nc", color_primaries="bt2020", color_trc=transfer
            )
            # Tone mapping (Hable) of linear light to a display of 100 cd/m².
            .filter("zscale", t="linear", npl=100)
            .filter("format", "gbrpf32le")
            .filter("zscale", p="bt709")
            .filter("tonemap", "hable", desat=0)
            .filter("zscale", t="bt709", m="bt709", r="tv")
        )
    return video.filter("format", pixels)


def change_tempo(audio: Node, factor: float) -> Node:
    """Speeds up audio by `factor` at the same pitch."""
    while factor > MAX_TEMPO:
        audio, factor = audio.filter("atempo", MAX_TEMPO), factor / MAX_TEMPO
    while factor < MIN_TEMPO:
        audio, factor = audio.filter("atempo", MIN_TEMPO), factor / MIN_TEMPO
    return audio.filter("atempo", f"{factor:.9g}") if factor != 1 else audio
