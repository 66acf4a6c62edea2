"""Measures the duration of video and audio files, and whether the frame rate varies."""

import math
from itertools import pairwise
from statistics import median
from typing import Any

import av

from media_service.errors import InvalidArgument, Reason

# The amount that is read to detect a variable frame rate: more than ten seconds of most videos.
RATE_PACKETS, RATE_BYTES = 500, 32 << 20
# The largest distance between decoding order and display order, in frames.
REORDERED_FRAMES = 16
# The maximum relative difference between frame durations at a constant rate. The clocks of cameras
# jitter.
JITTER = 0.1
# The header's duration is used if it differs from the real one by less than this factor.
MAX_DURATION_FACTOR = 2
# The range that is read to check it: the seconds before the end, and the maximum number of bytes.
END_SECONDS = 1.0
END_PACKETS, END_BYTES = 5000, 32 << 20
# One week. A longer duration indicates a wrong clock.
MAX_SECONDS = 7 * 24 * 3600


def rewind(container: Any) -> None:
    try:
        container.seek(0)
    except av.FFmpegError:
        return  # some raw formats cannot seek; read from the current position


def duration_seconds(container: Any) -> float:
    """Returns the header's duration if the file ends at about that time. Otherwise, reads the file
    to the end, as for videos recorded by browsers, whose headers have no duration. Raises
    InvalidArgument (MEDIA_CORRUPT)."""
    if container.duration is not None:
        claimed = max(0.0, float(container.duration / av.time_base))
        if is_plausible(container, claimed):
            return claimed
    rewind(container)
    seconds, _ = read_to_end(container)
    if seconds > MAX_SECONDS:
        message = f"The time stamps of the file span {seconds:.0f} seconds."
        raise InvalidArgument(Reason.MEDIA_CORRUPT, message)
    return seconds


def is_plausible(container: Any, claimed: float) -> bool:
    """Whether the file ends at about the time in the header. If the check would take long, assumes
    that it does."""
    if claimed > MAX_SECONDS:
        return False
    try:
        near = max(0.0, claimed - END_SECONDS)
        container.seek((container.start_time or 0) + round(near * av.time_base))
    except av.FFmpegError:
        return True
    end, complete = read_to_end(container, END_PACKETS, END_BYTES)
    return end <= MAX_DURATION_FACTOR * claimed + 1 and (
        claimed <= MAX_DURATION_FACTOR * end + 1 or not complete
    )


def read_to_end(
    container: Any, max_packets: float = math.inf, max_bytes: float = math.inf
) -> tuple[float, bool]:
    """Returns the end time of the last packet that was read, and whether all packets were read."""
    start = (container.start_time or 0) / av.time_base
    end, size = 0.0, 0
    for number, packet in enumerate(container.demux()):
        if packet.pts is not None:
            time = float((packet.pts + (packet.duration or 0)) * (packet.time_base or 0))
            end = max(end, time - start)
        size += packet.size
        if number >= max_packets or size > max_bytes:
            return end, False
    return end, True


def has_variable_frame_rate(container: Any, video: Any) -> bool:
    """Whether the first frames are unevenly spaced."""
    times = first_display_times(container, video)
    durations = [later - earlier for earlier, later in pairwise(times)]
    usual = median(durations) if durations else 0
    return any(abs(duration - usual) > max(1, usual * JITTER) for duration in durations)


def first_display_times(container: Any, video: Any) -> list[int]:
    """The display times of the first frames, in order."""
    rewind(container)
    times: list[int] = []
    size = 0
    for packet in container.demux(video):
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None:
            times.append(time)
        size += packet.size
        if len(times) == RATE_PACKETS or size > RATE_BYTES:
            # Packets are in decoding order, so some frames before the last one may be missing.
            return sorted(times)[:-REORDERED_FRAMES]
    return sorted(times)
