"""Measures the duration of video and audio files, and their frame rates."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any, Self

import av

from media_service.codecs.inspect.container import packets
from media_service.errors import InvalidArgument, Reason

# The amount that is read to detect a variable frame rate: more than ten seconds of most videos.
RATE_PACKETS, RATE_BYTES = 500, 32 << 20
# The largest distance between decoding order and display order, in frames.
REORDERED_FRAMES = 16
# The maximum relative difference between frame durations at a constant rate. The clocks of cameras
# jitter.
JITTER = 0.1
# The share of frames that may have another duration at a constant rate.
UNEVEN_FRAMES = 0.025
# A measured rate that differs less than this from a known one confirms it: time stamps are rounded.
RATE_TOLERANCE = 0.01
# The header's duration is used if it differs from the real one by less than this factor.
MAX_DURATION_FACTOR = 2
# The range that is read to check it: the seconds before the end, and the maximum number of bytes.
END_SECONDS = 1.0
END_PACKETS, END_BYTES = 5000, 32 << 20
# Few packets of audio last longer. In MP4, the packet before a pause lasts until the next one.
MAX_AUDIO_SECONDS = 0.1
# How much later than a time its last packets may be stored.
REORDERED_SECONDS = 2.0
# A header whose duration differs by less than this is believed: few packets of audio last longer.
END_TOLERANCE = 0.1
# A higher rate of a video with a single frame is the time base of its container.
MAX_UNMEASURED = 240.0
# Formats of audio frames, of which many files have no header, or that of another file. FFmpeg
# estimates their duration from the first bit rate. They are read whole up to this size, which takes
# about two seconds: three hours of most MP3 files.
FRAME_FORMATS = {"aac", "ac3", "amr", "dts", "eac3", "mp3"}
WHOLE_PACKETS, WHOLE_BYTES = 500_000, 256 << 20
# Formats whose packets have time stamps, and formats of samples, whose positions tell their times.
TIMED_FORMATS = {"asf", "avi", "flac", "flv", "matroska", "mov", "mpeg", "mpegts", "ogg", "rm"} | {
    *("aiff", "au", "tta", "w64", "wav", "wv"),
}
# One week. A longer duration indicates a wrong clock.
MAX_SECONDS = 7 * 24 * 3600


def rewind(container: Any) -> None:
    try:
        container.seek(0)
    except av.FFmpegError:
        return  # some raw formats cannot seek; read from the current position


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a file: when the last packet ends, in seconds, and that of each track, by its
    index. `begin` is when the first packet that was read begins. `gap` is the largest distance
    between two video frames, for which the last one may be displayed; it is infinite if fewer than
    two were read. `complete`: reading reached the end."""

    seconds: float
    tracks: Mapping[int, float]
    begin: float
    gap: float
    complete: bool


def duration_seconds(container: Any) -> float:
    """Returns the header's duration if the file ends at about that time. Otherwise, reads the file
    to the end, as for videos recorded by browsers, whose headers have no duration. Raises
    InvalidArgument (MEDIA_CORRUPT)."""
    whole = whole_seconds(container)
    if container.duration is not None:
        claimed = max(0.0, float(container.duration / av.time_base))
        if whole is not None and abs(claimed - whole) > END_TOLERANCE:
            return whole
        confirmed = confirm(container, claimed)
        if confirmed is not None:
            return confirmed
    rewind(container)
    seconds = read_to_end(container).seconds
    if seconds > MAX_SECONDS:
        message = f"The time stamps of the file span {seconds:.0f} seconds."
        raise InvalidArgument(Reason.MEDIA_CORRUPT, message)
    return seconds


def whole_seconds(container: Any) -> float | None:
    """Returns when a file of audio frames ends. None: it has another format, or is too long to be
    read whole."""
    if format_name(container) not in FRAME_FORMATS:
        return None
    ending = read_to_end(container, WHOLE_PACKETS, WHOLE_BYTES)
    rewind(container)
    return ending.seconds if ending.complete and ending.tracks else None


def confirm(container: Any, claimed: float) -> float | None:
    """Returns the duration of a file whose header claims `claimed` seconds, or None if the file
    must be read to tell. If the check would take long, believes the header."""
    if claimed > MAX_SECONDS:
        return None
    if not seek(container, max(0.0, claimed - END_SECONDS)):
        return claimed
    end = read_to_end(container, END_PACKETS, END_BYTES)
    if end.seconds > MAX_DURATION_FACTOR * claimed + 1:
        return None
    if not end.complete:
        return claimed
    if claimed > MAX_DURATION_FACTOR * end.seconds + 1:
        return None
    exact = claimed - 2 * end.gap - END_TOLERANCE <= end.seconds <= claimed + END_TOLERANCE
    return claimed if exact or not is_timed(container) else end.seconds


def seek(container: Any, seconds: float) -> bool:
    """Seeks to a time from the beginning of the file. Returns whether that was possible."""
    time = seconds + (container.start_time or 0) / av.time_base
    # A video track that ended before cannot be sought in.
    for track in (None, *container.streams.audio[:1]):
        scale = av.time_base if track is None else 1 / track.time_base
        with suppress(av.FFmpegError):
            container.seek(round(time * scale), stream=track)
            return True
    return False


def start_seconds(track: Any) -> float:
    """When a track begins, in seconds from the beginning of the file."""
    begin = float((track.start_time or 0) * track.time_base)
    return round(max(0.0, begin - (track.container.start_time or 0) / av.time_base), 6)


def is_timed(container: Any) -> bool:
    """Whether the times of packets are known. In other formats, they are estimated after a seek."""
    return format_name(container) in TIMED_FORMATS


def format_name(container: Any) -> str:
    """FFmpeg's name of the format; the first one, if it has several."""
    name: str = container.format.name
    return name.partition(",")[0]


def time_of(packet: Any) -> int | None:
    """Returns the display time of a packet, or else its decoding time: H.264 in AVI has no other.
    Both are in units of the packet's time base."""
    time: int | None = packet.dts if packet.pts is None else packet.pts
    return time


def read_to_end(
    container: Any,
    max_packets: float = math.inf,
    max_bytes: float = math.inf,
    until: float = math.inf,
) -> Ending:
    """Reads video and audio packets from the current position. Packets that begin at `until`
    seconds or later do not count, nor do pauses in audio before it, and reading stops soon after
    it."""
    start = (container.start_time or 0) / av.time_base
    size, complete, begin = 0, True, math.inf
    ends: dict[int, float] = {}
    last: dict[int, float] = {}
    gaps: dict[int, float] = {}
    for number, packet in enumerate(packets(container)):
        index, kind = packet.stream_index, packet.stream.type
        ticks = time_of(packet) if kind in {"video", "audio"} else None
        time = math.inf if ticks is None else float(ticks * packet.time_base)
        if math.inf > time >= start + until + REORDERED_SECONDS:
            break
        if time < start + until:
            begin = min(begin, time - start)
            duration = float((packet.duration or 0) * packet.time_base)
            if kind == "audio" and until < math.inf:
                duration = min(duration, MAX_AUDIO_SECONDS)
            end = time + duration - start
            ends[index] = max(end, ends.get(index, 0.0))
            if kind == "video" and index in last:
                gaps[index] = max(gaps.get(index, 0.0), abs(time - last[index]))
            if kind == "video":
                last[index] = time
        size += packet.size
        if number >= max_packets or size > max_bytes:
            complete = False
            break
    gap = max((gaps.get(index, math.inf) for index in last), default=0.0)
    return Ending(max(ends.values(), default=0.0), ends, begin, gap, complete)


@dataclass(slots=True)
class FrameTimes:
    """The display times of the first frames of a video track, in units of `time_base`."""

    time_base: Fraction | None
    _times: list[int] = field(default_factory=list)
    _bytes: int = 0

    @property
    def full(self) -> bool:
        return len(self._times) >= RATE_PACKETS or self._bytes > RATE_BYTES

    def add(self, packet: Any) -> None:
        if self.full:
            return
        time = time_of(packet)
        if time is not None:
            self._times.append(time)
        self._bytes += packet.size

    @property
    def ordered(self) -> list[int]:
        # Packets are in decoding order, so some frames before the last one may be missing.
        return sorted(self._times)[:-REORDERED_FRAMES] if self.full else sorted(self._times)


@dataclass(frozen=True, slots=True)
class FrameRate:
    """The frame rate of a video track. `variable`: its frames are not evenly spaced."""

    average: float
    variable: bool

    @classmethod
    def of(cls, times: FrameTimes, stated: float, guessed: float) -> Self:
        """`stated` and `guessed` are the average and the constant rate by FFmpeg; 0 if unknown. A
        single uneven frame, such as the first one of a fragmented MP4, falsifies the average."""
        ordered = times.ordered
        durations = [later - earlier for earlier, later in pairwise(ordered)]
        usual = median(durations) if durations else 0
        even = [each for each in durations if abs(each - usual) <= max(1, usual * JITTER)]
        if len(durations) - len(even) > len(durations) * UNEVEN_FRAMES:
            return cls(stated or guessed, variable=True)
        if not (times.time_base and sum(even)):
            unmeasured = stated or guessed
            return cls(unmeasured if unmeasured <= MAX_UNMEASURED else 0.0, variable=False)
        measured = float(len(even) / (sum(even) * times.time_base))
        for rate in (stated, guessed):
            if abs(rate - measured) <= measured * RATE_TOLERANCE:
                return cls(rate, variable=False)
        return cls(measured, variable=False)
