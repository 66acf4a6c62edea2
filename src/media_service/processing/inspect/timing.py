"""How long a film or a sound is, and whether its pictures are evenly spaced."""

from itertools import pairwise
from statistics import median
from typing import Any

import av

# Looked at for the spaces between pictures: more than ten seconds, of less than these bytes.
PACKETS = 500
BYTES = 32 << 20
# A picture comes so many others later than it is shown, at most.
REORDERED = 16
# Spaces differ by so much of themselves without being another rate: clocks of cameras shake.
SHAKE = 0.1


def rewind(container: Any) -> None:
    try:
        container.seek(0)
    except av.FFmpegError:
        return  # read from where it is: some raw streams cannot seek


def duration_seconds(container: Any) -> float:
    """As the header says; else, as in films that a browser recorded, by reading to the end."""
    if container.duration is not None:
        return max(0.0, float(container.duration / av.time_base))
    end = 0.0
    for packet in container.demux():
        if packet.pts is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * (packet.time_base or 0)))
    return end


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
