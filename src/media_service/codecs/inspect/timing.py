"""How long a film or a sound is, and whether its pictures are evenly spaced."""

import math
from itertools import pairwise
from statistics import median
from typing import Any

import av

from media_service.errors import InvalidArgument, Reason

# Looked at for the spaces between pictures: more than ten seconds, of less than these bytes.
PACKETS = 500
BYTES = 32 << 20
# A picture comes so many others later than it is shown, at most.
REORDERED = 16
# Spaces differ by so much of themselves without being another rate: clocks of cameras shake.
SHAKE = 0.1
# A header is believed if it says less than so many times what there is, and the other way round.
TIMES = 2
# What is looked at to find out: from so long before the end, and no more than this.
BEFORE_SECONDS = 1.0
END_PACKETS, END_BYTES = 5000, 32 << 20
# A week: beyond that it is a clock that is wrong.
MOST_SECONDS = 7 * 24 * 3600


def rewind(container: Any) -> None:
    try:
        container.seek(0)
    except av.FFmpegError:
        return  # read from where it is: some raw streams cannot seek


def duration_seconds(container: Any) -> float:
    """As the header says, if it looks so where it says that the end is. Else, and of films without
    it, as browsers record them, by reading to the end. Raises InvalidArgument (MEDIA_CORRUPT)."""
    said = container.duration
    if said is not None and is_true(container, seconds := max(0.0, float(said / av.time_base))):
        return seconds
    rewind(container)
    seconds, _ = last_seconds(container)
    if seconds > MOST_SECONDS:
        raise InvalidArgument(Reason.MEDIA_CORRUPT, f"By its clock it lasts {seconds:.0f} seconds.")
    return seconds


def is_true(container: Any, said: float) -> bool:
    """Whether the end is about where it is said to be. Where that takes long to find out it is."""
    if said > MOST_SECONDS:
        return False
    try:
        near = max(0.0, said - BEFORE_SECONDS)
        container.seek((container.start_time or 0) + round(near * av.time_base))
    except av.FFmpegError:
        return True
    end, all_read = last_seconds(container, END_PACKETS, END_BYTES)
    return end <= TIMES * said + 1 and (said <= TIMES * end + 1 or not all_read)


def last_seconds(
    container: Any, most_packets: float = math.inf, most_bytes: float = math.inf
) -> tuple[float, bool]:
    """The end of the last of what follows, and whether that was all."""
    start = (container.start_time or 0) / av.time_base
    end, size = 0.0, 0
    for number, packet in enumerate(container.demux()):
        if packet.pts is not None:
            time = float((packet.pts + (packet.duration or 0)) * (packet.time_base or 0))
            end = max(end, time - start)
        size += packet.size
        if number >= most_packets or size > most_bytes:
            return end, False
    return end, True


def is_uneven(container: Any, video: Any) -> bool:
    """Whether the pictures at its beginning are not evenly spaced."""
    times = beginning(container, video)
    steps = [later - earlier for earlier, later in pairwise(times)]
    usual = median(steps) if steps else 0
    return any(abs(step - usual) > max(1, usual * SHAKE) for step in steps)


def beginning(container: Any, video: Any) -> list[int]:
    """When its first pictures are shown, in order."""
    rewind(container)
    times: list[int] = []
    size = 0
    for packet in container.demux(video):
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None:
            times.append(time)
        size += packet.size
        if len(times) == PACKETS or size > BYTES:
            # Pictures come in the order of decoding: of the last ones, some may be missing.
            return sorted(times)[:-REORDERED]
    return sorted(times)
