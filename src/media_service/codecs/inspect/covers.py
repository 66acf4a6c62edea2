"""Tells the video of a file from cover art."""

from collections.abc import Sequence
from typing import Any

from av.stream import Disposition

from media_service.codecs.inspect.container import packets
from media_service.codecs.inspect.timing import RATE_BYTES
from media_service.codecs.inspect.tracks import ffmpeg_codec

# Formats of images. A track with a single one of them, beside other tracks, is cover art.
IMAGE_CODECS = {"bmp", "gif", "mjpeg", "png", "tiff", "webp"}


def unmarked_video_tracks(container: Any) -> list[Any]:
    """The video tracks that are not marked as cover art."""
    return [
        track
        for track in container.streams.video
        if not track.disposition & Disposition.attached_pic
    ]


def main_video_track(container: Any, *, has_audio: bool) -> int | None:
    """Returns the index of the video among the unmarked video tracks, or None if there is only
    cover art. Reads from the current position if a track may be unmarked cover art."""
    tracks = unmarked_video_tracks(container)
    if len(tracks) == 1 and not has_audio:
        return 0
    covers = single_images(container, tracks)
    return next((n for n, track in enumerate(tracks) if track.index not in covers), None)


def single_images(container: Any, tracks: Sequence[Any]) -> set[int]:
    """The indexes of those tracks that are one image. Stops reading when every track has two
    frames, or at a limit."""
    counts = {
        track.index: 0
        for track in tracks
        if ffmpeg_codec(track) in IMAGE_CODECS and track.frames <= 1
    }
    size = 0
    for packet in packets(container) if counts else ():
        size += packet.size
        if packet.size and packet.stream_index in counts:
            counts[packet.stream_index] += 1
        if min(counts.values()) > 1 or size > RATE_BYTES:
            break
    return {index for index, count in counts.items() if count <= 1}
