"""Inspects video and audio files: reads their headers, and checks that they begin to play. Runs in
a child process."""

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import av

from media_service.codecs.demuxers import AUDIO_TYPES, DEMUXERS, VIDEO_TYPES
from media_service.codecs.inspect import capture_time, names
from media_service.codecs.inspect.beginning import Beginning, corrupt, decoder_of, read_beginning
from media_service.codecs.inspect.container import open_container
from media_service.codecs.inspect.covers import main_video_track, unmarked_video_tracks
from media_service.codecs.inspect.limits import count
from media_service.codecs.inspect.location import from_iso6709
from media_service.codecs.inspect.timing import FrameRate, duration_seconds, start_seconds
from media_service.codecs.inspect.tracks import (
    audio_track,
    audio_tracks,
    chapters,
    codec_name,
    subtitle_tracks,
    tags,
)
from media_service.codecs.inspect.truncation import check_complete
from media_service.codecs.inspection import (
    AudioInfo,
    AudioTrack,
    DynamicRange,
    Inspection,
    PrivateInfo,
    VideoInfo,
    VideoTrack,
    to_json,
)
from media_service.codecs.refinements import detect_again
from media_service.errors import InvalidArgument, Reason

# The largest plausible aspect ratio of a pixel.
MAX_PIXEL_ASPECT = 10
# Transfer characteristics (ITU-T H.273) beyond the standard range: SMPTE ST 2084, ARIB STD-B67.
TRANSFERS: dict[int, DynamicRange] = {16: "HDR_PQ", 18: "HDR_HLG"}

LOCATION_TAGS = ("com.apple.quicktime.location.ISO6709", "location", "location-eng")


def inspect(media: int, content_type: str, max_pixels: int) -> dict[str, Any]:
    """Returns an Inspection of the open file `media`, as JSON values. It is of audio if the file
    has no video track and its container has a type for audio.

    Raises InvalidArgument (MEDIA_CORRUPT, PIXEL_LIMIT_EXCEEDED).
    """
    content_type = detect_again(media, content_type)
    may_be_video = not content_type.startswith("audio/") or content_type in VIDEO_TYPES
    with open_media(media, content_type) as container:
        has_audio = first_decodable(container.streams.audio) is not None
        index = main_video_track(container, has_audio=has_audio) if may_be_video else None
        duration = duration_seconds(container)
    # Open the file again: some demuxers cannot seek back to the beginning.
    with open_media(media, content_type) as container:
        video = None if index is None else unmarked_video_tracks(container)[index]
        audio = first_decodable(container.streams.audio)
        if video is None and audio is None:
            tracks = "neither a video nor an audio track" if may_be_video else "no audio track"
            raise corrupt(f"The file has {tracks} that can be decoded.")
        if video is not None:
            decoder = decoder_of(video)
            check_pixels(decoder.width, decoder.height, max_pixels)
        beginning = read_beginning(container, video, audio)
        types = AUDIO_TYPES if video is None else VIDEO_TYPES
        content_type = types.get(content_type, content_type)
        fields = common(container, audio, media, content_type, duration)
        info: AudioInfo | VideoInfo
        location = None
        if content_type.startswith("audio/"):
            info = AudioInfo(**fields, tags=tags(container, audio))
        else:
            shown = (
                {} if video is None else describe_video(video, index or 0, beginning, max_pixels)
            )
            info = VideoInfo(
                **fields,
                **shown,
                audio_tracks=audio_tracks(list(container.streams.audio)),
                subtitle_tracks=subtitle_tracks(list(container.streams.subtitles)),
            )
            named = map(from_iso6709, locations(container.metadata))
            location = next(filter(None, named), None)
        return to_json(
            Inspection(
                info=info,
                content_type=content_type,
                private_info=PrivateInfo(location=location),
                capture_time=capture_time.from_metadata(container.metadata),
            )
        )


@contextmanager
def open_media(media: int, content_type: str) -> Iterator[Any]:
    """Opens a video or audio file. FFmpeg errors, including those within the context, become
    InvalidArgument (MEDIA_CORRUPT)."""
    if content_type not in DEMUXERS:
        raise corrupt(f"Files of type {content_type} cannot be read.")
    check_complete(media, DEMUXERS[content_type])
    try:
        with open_container(media, DEMUXERS[content_type]) as container:
            yield container
    except av.FFmpegError as error:
        raise corrupt(f"The file cannot be read as {content_type}: it is damaged.") from error


def first_decodable(tracks: Iterable[Any]) -> Any:
    """The first track with a known codec."""
    return next((track for track in tracks if track.codec_context), None)


def locations(metadata: dict[str, str]) -> list[str]:
    return [metadata[tag] for tag in LOCATION_TAGS if tag in metadata]


def common(
    container: Any, audio: Any, media: int, content_type: str, duration: float
) -> dict[str, Any]:
    """Returns the fields of AvInfo."""
    size = os.fstat(media).st_size
    bit_rate = container.bit_rate or (size * 8 / duration if duration else 0)
    track = AudioTrack() if audio is None else audio_track(audio)
    return {
        "duration_seconds": round(duration, 6),
        "bit_rate_kbps": count(round(bit_rate / 1000)),
        "container": names.CONTAINERS[content_type],
        "audio_codec": track.codec,
        "audio_channels": track.channels,
        "audio_sample_rate_hz": track.sample_rate_hz,
        "audio_bit_depth": track.bit_depth,
        "chapters": chapters(container),
    }


def describe_video(video: Any, index: int, beginning: Beginning, max_pixels: int) -> dict[str, Any]:
    """Returns the fields of VideoInfo for the video track. `index` is its index among the tracks
    that are not marked as cover art."""
    frame = beginning.frames[video.index]
    check_pixels(frame.width, frame.height, max_pixels)  # the header may claim less
    aspect = float(video.sample_aspect_ratio or 1)
    if not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
        aspect = 1.0
    width, height = round(frame.width * aspect), frame.height
    check_pixels(width, height, max_pixels)
    rotation = rotation_degrees(frame)
    if rotation in {90, 270}:
        width, height = height, width
    average, guessed = float(video.average_rate or 0), float(video.guessed_rate or 0)
    rate = FrameRate.of(beginning.times, average, guessed)
    return {
        "width": width,
        "height": height,
        "rotation_degrees": rotation,
        "frame_rate": round(rate.average, 3),
        "video_codec": codec_name(video),
        "dynamic_range": TRANSFERS.get(frame.color_trc, "SDR"),
        "variable_frame_rate": rate.variable,
        "video_track": VideoTrack(
            index=index,
            start_seconds=start_seconds(video),
            matrix=count(frame.colorspace),
        ),
    }


def rotation_degrees(frame: Any) -> int:
    """Returns the clockwise rotation of a frame for display."""
    # FFmpeg counts counterclockwise, from -180 to 180. Players support only quarter turns.
    rotation: int = round(-frame.rotation / 90) * 90 % 360
    if rotation == 180 and is_mirrored(frame):
        return 0  # left and right are exchanged, and nothing is upside down
    return rotation


def is_mirrored(frame: Any) -> bool:
    a, b, _, c, d, *_ = struct.unpack("9i", bytes(frame.side_data["DISPLAYMATRIX"]))
    return bool(a * d - b * c < 0)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    pixels = width * height
    if pixels > max_pixels:
        raise InvalidArgument(
            Reason.PIXEL_LIMIT_EXCEEDED,
            f"A frame of the video has {pixels} pixels; the limit is {max_pixels}.",
        )
