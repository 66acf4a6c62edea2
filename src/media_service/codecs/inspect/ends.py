"""Reads how a video begins and ends, at little cost: a few frames are decoded. Runs in a child
process."""

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import av
from msgspec.structs import replace

from media_service.codecs.ends import Ends, FrameLook
from media_service.codecs.inspect.av import open_media
from media_service.codecs.inspect.beginning import corrupt, decoder_of
from media_service.codecs.inspect.container import packets
from media_service.codecs.inspect.covers import unmarked_video_tracks
from media_service.codecs.inspect.limits import MAX_TRACKS
from media_service.codecs.inspect.timing import (
    END_BYTES,
    END_PACKETS,
    END_SECONDS,
    WHOLE_BYTES,
    WHOLE_PACKETS,
    Ending,
    is_timed,
    read_to_end,
    seek,
    start_seconds,
)
from media_service.codecs.inspection import to_json
from media_service.errors import InvalidArgument, Reason

# How far before the end reading begins, in seconds: a frame must be decoded from a key frame on,
# and the video track may end before the audio.
DISTANCES = (1.0, 16.0, 256.0)
# The same to find the ends of tracks. The first one is usually enough.
TRACK_DISTANCES = (END_SECONDS, 16.0)
# Packets of the video track that are decoded at most. More between two key frames are rare.
MAX_PACKETS = 1000
# A tolerance shorter than any frame.
ROUNDING_SECONDS = 0.002
# The size in which frames are examined.
WIDTH, HEIGHT = 64, 36
# The brightness below which a pixel is nearly black, and below which it is dark. The distance
# covers the differences between a frame and its encoded form.
NEARLY_BLACK, DARK = 32, 64
UNSPECIFIED_MATRIX = 2


def read_ends(
    media: int,
    content_type: str,
    track: int | None,
    start: float,
    end: float | None,
    margin: float | None,
) -> dict[str, Any]:
    """Returns the Ends of a range of the open file `media`, as JSON values. `track` is the index of
    the video track among those that are not marked as cover art, or None for an audio file. Without
    `end`, decodes the whole file, which must be short. With `margin`, the darkest frame in so many
    seconds at that end of the range, or next to them, counts as the first or last one.

    Raises InvalidArgument (MEDIA_CORRUPT, INSPECTION_LIMIT_EXCEEDED).
    """
    found = Ends()
    if track is not None:
        found = read_frames(media, content_type, track, start, end, margin)
    if end is None:
        return to_json(found)
    with open_media(media, content_type) as container:
        video = None if track is None else video_track(container, track).index
        audio = [each.index for each in container.streams.audio[:MAX_TRACKS]]
        tracks = {*audio} if video is None else {video, *audio}
        if track is None and not is_timed(container):
            ending = read_from_beginning(container, end)
        else:
            ending = read_tracks(container, tracks, end)
    if ending is not None:
        found = replace(
            found,
            video_seconds=None if video is None else ending.tracks.get(video),
            audio_seconds=tuple(ending.tracks.get(index) for index in audio),
            read_from=max(0.0, ending.begin),
        )
    return to_json(found)


def read_frames(
    media: int, content_type: str, track: int, start: float, end: float | None, margin: float | None
) -> Ends:
    """Reads the first and the last frame; see `read_ends`."""
    with open_media(media, content_type) as container:
        if margin is None:
            first = look_at(container, track, start, start)
        else:
            first = darkest_look(container, track, start, start, start + margin)
    last = None
    for distance in (math.inf,) if end is None else DISTANCES:
        with open_media(media, content_type) as container:
            until = math.inf if end is None else end
            time = until - ROUNDING_SECONDS
            if margin is None:
                last = look_at(container, track, until - distance, time)
            else:
                last = darkest_look(container, track, until - distance, time - margin, time)
        if last is not None:
            break
    return Ends(first=first, last=last)


def video_track(container: Any, index: int) -> Any:
    """Raises InvalidArgument (MEDIA_CORRUPT) if there is none: ffmpeg leaves out a track without
    frames."""
    tracks = unmarked_video_tracks(container)
    if index >= len(tracks):
        raise corrupt("The file has no video track.")
    return tracks[index]


def look_at(container: Any, track: int, start: float, time: float) -> FrameLook | None:
    """Returns the frame on display at a time: the last one until then, or else the first one."""
    found = None
    for shown, frame in timed_frames(container, track, start):
        if found is not None and shown > time + ROUNDING_SECONDS:
            break
        found = frame
    return None if found is None else look(found)


def darkest_look(
    container: Any, track: int, start: float, begin: float, end: float
) -> FrameLook | None:
    """Returns the darkest of the frames on display from `begin` to `end`, and of those next to
    them."""
    before: list[Any] = []
    looks: list[FrameLook] = []
    for shown, frame in timed_frames(container, track, start):
        if shown <= begin + ROUNDING_SECONDS:
            before = [*before[-1:], frame]
            continue
        looks.append(look(frame))
        if shown > end + ROUNDING_SECONDS:
            break
    looks += map(look, before)
    return max(looks, key=lambda each: (each.dark, -each.brightness), default=None)


def timed_frames(container: Any, track: int, start: float) -> Iterator[tuple[float, Any]]:
    """Yields when frames are displayed, and the frames, from the key frame before `start` on; none
    if that is too far."""
    video = video_track(container, track)
    decoder_of(video).thread_count = 1
    if start > start_seconds(video) and not seek(container, start):
        return
    file_start = (container.start_time or 0) / av.time_base
    for frame in decoded_frames(container, video):
        shown = float(frame.pts * frame.time_base) - file_start if frame.pts is not None else 0.0
        yield shown, frame


def decoded_frames(container: Any, video: Any) -> Iterator[Any]:
    """Yields frames, and skips what cannot be decoded, as players do. Raises InvalidArgument
    (INSPECTION_LIMIT_EXCEEDED), because the last frame within the limit is not the wanted one."""
    for number, packet in enumerate(packets(container, video)):
        if number >= MAX_PACKETS:
            raise InvalidArgument(
                Reason.INSPECTION_LIMIT_EXCEEDED,
                f"More than {MAX_PACKETS} packets must be decoded to find a frame.",
                limit="packets",
                value=MAX_PACKETS,
            )
        with suppress(av.FFmpegError):
            yield from packet.decode()


def read_tracks(container: Any, tracks: set[int], end: float) -> Ending | None:
    """Reads the last packets before `end`. Reads from farther back if one of `tracks` has none
    there. Returns None if that is impossible or would take long."""
    found = None
    for distance in TRACK_DISTANCES:
        if not seek(container, max(0.0, end - distance)):
            return found
        ending = read_to_end(container, END_PACKETS, END_BYTES, end)
        if not ending.complete or not ending.tracks:
            return found
        found = ending
        if tracks <= ending.tracks.keys():
            break
    return found


def read_from_beginning(container: Any, end: float) -> Ending | None:
    """Reads a file without time stamps, where those after a seek are estimated. Returns None if it
    is too long."""
    ending = read_to_end(container, WHOLE_PACKETS, WHOLE_BYTES, end)
    return ending if ending.complete and ending.tracks else None


def look(frame: Any) -> FrameLook:
    width, height = frame.width, frame.height
    frame.colorspace = UNSPECIFIED_MATRIX  # it does not matter for gray, and some are not known
    small = frame.reformat(WIDTH, HEIGHT, "gray")
    plane = small.planes[0]
    data = bytes(plane)
    rows = [data[row * plane.line_size :][:WIDTH] for row in range(HEIGHT)]
    pixels = b"".join(rows)
    return FrameLook(
        width=width,
        height=height,
        black=sum(pixel < NEARLY_BLACK for pixel in pixels) / len(pixels),
        dark=sum(pixel < DARK for pixel in pixels) / len(pixels),
        brightness=sum(pixels) / len(pixels),
    )
