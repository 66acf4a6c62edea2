"""Compares a stream with its source: the durations of the tracks, and the first and last frames, as
measured by Debian's FFmpeg, which is independent of the service's."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from tests.support.tools import require_tool

# The size in which frames are compared.
WIDTH, HEIGHT = 32, 18
# The brightness of nearly black pixels, and the share of them in a black frame.
NEARLY_BLACK, BLACK_SHARE = 32, 0.98
# The maximum mean difference of the brightness of pixels, of 255.
MAX_DIFFERENCE = 12.0
# The audio codec of streams begins with a packet of silence and ends with an incomplete one.
AUDIO_TOLERANCE = 0.1
# The last frame may begin up to a frame before or after the end of the audio.
VIDEO_TOLERANCE = 0.1


@dataclass(frozen=True)
class Measured:
    """A video file. The times at which tracks end are in seconds from the beginning of the file.
    `first` and `last` are the brightness of the pixels of a frame."""

    video_end: float
    audio_ends: Sequence[float]
    first: bytes
    last: bytes
    # Whether all frames are black.
    black: bool


@dataclass(frozen=True)
class Stream:
    """The smallest rung of a stream, the durations of its playlists, and whether the master
    playlist announces a peak bit rate that is at least the average."""

    video: Measured
    video_seconds: float
    audio_seconds: Sequence[float]
    announces_peak: bool


def measured(path: Path) -> Measured:
    about = json.loads(
        run(
            *("ffprobe", "-v", "error", "-of", "json", "-show_entries"),
            "format=start_time:stream=index,codec_type,codec_name:stream_disposition=attached_pic"
            ":packet=stream_index,pts_time,duration_time",
            str(path),
        )
    )
    start = float(about["format"].get("start_time", 0))
    ends: dict[int, float] = {}
    for packet in about["packets"]:
        if "pts_time" in packet:
            end = float(packet["pts_time"]) + float(packet.get("duration_time", 0)) - start
            ends[packet["stream_index"]] = max(end, ends.get(packet["stream_index"], 0.0))
    tracks = [track for track in about["streams"] if track["index"] in ends]
    audio = [
        ends[track["index"]]
        for track in tracks
        if track["codec_type"] == "audio" and track.get("codec_name", "unknown") != "unknown"
    ]
    video = [
        ends[track["index"]]
        for track in tracks
        if track["codec_type"] == "video" and not track["disposition"]["attached_pic"]
    ]
    frames = grays(path) if video else b""
    size = WIDTH * HEIGHT
    dark = [
        sum(pixel < NEARLY_BLACK for pixel in frames[at : at + size]) / size
        for at in range(0, len(frames), size)
    ]
    return Measured(
        video[0] if video else 0.0,
        audio,
        frames[:size],
        frames[-size:],
        min(dark, default=1.0) >= BLACK_SHARE,
    )


def grays(path: Path) -> bytes:
    """The brightness of the pixels of all frames."""
    scaled = f"scale={WIDTH}:{HEIGHT},format=gray"
    return run(
        *("ffmpeg", "-v", "error", "-i", str(path), "-map", "0:V:0", "-vf", scaled),
        *("-fps_mode", "passthrough", "-f", "rawvideo", "-"),
    )


def run(program: str, *arguments: str) -> bytes:
    command = [require_tool(program), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def difference(one: bytes, other: bytes) -> float:
    """The mean difference of two frames, or 255 if one is missing."""
    if not one or len(one) != len(other):
        return 255.0
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def disagreements(
    source: Measured, stream: Stream, max_difference: float = MAX_DIFFERENCE
) -> list[str]:
    """Returns the differences between a source and its stream."""
    found = []
    whole = max(source.video_end, *source.audio_ends, 0.0)
    if abs(stream.video_seconds - whole) > VIDEO_TOLERANCE:
        found.append(f"the video lasts {stream.video_seconds:.2f} s, the source {whole:.2f} s")
    for number, (seconds, wanted) in enumerate(
        zip_longest(stream.audio_seconds, source.audio_ends), 1
    ):
        if seconds is None or wanted is None or abs(seconds - wanted) > AUDIO_TOLERANCE:
            found.append(f"audio track {number} lasts {seconds} s, in the source {wanted} s")
    for name in ("first", "last"):
        apart = difference(getattr(source, name), getattr(stream.video, name))
        if apart > max_difference:
            found.append(f"the {name} frame differs by {apart:.0f} of 255")
    if not stream.announces_peak:
        found.append("BANDWIDTH is below AVERAGE-BANDWIDTH")
    return found
