"""Reads the beginning of a video or audio file: the first frame of each track, and the times at
which the first video frames are displayed."""

from dataclasses import dataclass
from typing import Any

import av

from media_service.codecs.inspect.container import packets
from media_service.codecs.inspect.timing import FrameTimes
from media_service.errors import InvalidArgument, Reason

# A track does not play if this many packets at its beginning give no frame.
MAX_PACKETS_WITHOUT_FRAME = 300


@dataclass(frozen=True, slots=True)
class Beginning:
    """`frames` has the first frame of each track, by the index of the track."""

    frames: dict[int, Any]
    times: FrameTimes


def read_beginning(container: Any, video: Any, audio: Any) -> Beginning:
    """Reads from the current position, which is the beginning of a file that was just opened: to
    seek back there is not possible in every container. `video` and `audio` are tracks, or None.

    Skips corrupt packets before the first frame, as players do. Raises InvalidArgument
    (MEDIA_CORRUPT).
    """
    tracks = [track for track in (video, audio) if track is not None]
    for track in tracks:
        decoder_of(track).thread_count = 1  # more threads would hold more frames in memory
    found = Beginning({}, FrameTimes(video.time_base if video is not None else None))
    waiting = {track.index: 0 for track in tracks}
    for packet in packets(container, *tracks):
        index = packet.stream_index
        if video is not None and index == video.index:
            found.times.add(packet)
        if index in waiting:
            waiting[index] += 1
            if frame := decoded(packet):
                found.frames[index] = frame
                del waiting[index]
            elif waiting[index] > MAX_PACKETS_WITHOUT_FRAME:
                break
        if not waiting and (video is None or found.times.full):
            break
    for track in tracks:
        if track.index in waiting:
            raise corrupt(f"The {track.type} track cannot be decoded.")
    return found


def decoded(packet: Any) -> Any:
    """The first frame that a packet completes, or None."""
    try:
        frames = packet.decode()
    except av.FFmpegError:
        return None
    return frames[0] if frames else None


def decoder_of(track: Any) -> Any:
    if track.codec_context is None:
        raise corrupt("The file has a track of an unknown codec.")
    return track.codec_context


def corrupt(message: str) -> InvalidArgument:
    return InvalidArgument(Reason.MEDIA_CORRUPT, message)
