"""Inspects video and audio files: reads their headers, and checks that they begin to play. Runs in
a child process."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import av
from av.stream import Disposition

from media_service.codecs.demuxers import DEMUXERS
from media_service.codecs.inspect import capture_time, names
from media_service.codecs.inspect.container import open_container
from media_service.codecs.inspect.limits import count
from media_service.codecs.inspect.location import from_iso6709
from media_service.codecs.inspect.timing import duration_seconds, has_variable_frame_rate, rewind
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
    to_json,
)
from media_service.errors import InvalidArgument, Reason

# The largest plausible aspect ratio of a pixel.
MAX_PIXEL_ASPECT = 10
# A track does not play if this many packets at its beginning give no frame.
MAX_PACKETS_WITHOUT_FRAME = 300
# Transfer characteristics (ITU-T H.273) beyond the standard range: SMPTE ST 2084, ARIB STD-B67.
TRANSFERS: dict[int, DynamicRange] = {16: "HDR_PQ", 18: "HDR_HLG"}

LOCATION_TAGS = ("com.apple.quicktime.location.ISO6709", "location", "location-eng")


def corrupt(message: str) -> InvalidArgument:
    return InvalidArgument(Reason.MEDIA_CORRUPT, message)


def inspect_video(media: int, content_type: str, max_pixels: int) -> dict[str, Any]:
    """Returns an Inspection of the open file `media`, as JSON values.

    Raises InvalidArgument (MEDIA_CORRUPT, PIXEL_LIMIT_EXCEEDED).
    """
    duration = measure_duration(media, content_type)
    with open_media(media, content_type) as container:
        tracks = [track for track in container.streams.video if not is_cover(track)]
        video = tracks[0] if tracks else None
        audio = first_decodable(container.streams.audio)
        if video is None and audio is None:
            raise corrupt("The file has neither a video nor an audio track that can be decoded.")
        info = VideoInfo(
            **common(container, audio, media, content_type, duration),
            **(describe_video(video, max_pixels) if video is not None else {}),
            audio_tracks=audio_tracks(list(container.streams.audio)),
            subtitle_tracks=subtitle_tracks(list(container.streams.subtitles)),
        )
        location = next(filter(None, map(from_iso6709, locations(container.metadata))), None)
        return to_json(
            Inspection(
                info=info,
                private_info=PrivateInfo(location=location),
                capture_time=capture_time.from_metadata(container.metadata),
            )
        )


def inspect_audio(media: int, content_type: str) -> dict[str, Any]:
    """Returns an Inspection of the open file `media`, as JSON values.

    Raises InvalidArgument (MEDIA_CORRUPT).
    """
    duration = measure_duration(media, content_type)
    with open_media(media, content_type) as container:
        audio = first_decodable(container.streams.audio)
        if audio is None:
            raise corrupt("The file has no audio track that can be decoded.")
        info = AudioInfo(
            **common(container, audio, media, content_type, duration), tags=tags(container, audio)
        )
        return to_json(
            Inspection(info=info, capture_time=capture_time.from_metadata(container.metadata))
        )


def measure_duration(media: int, content_type: str) -> float:
    """Measures the duration. Opens the file separately, because some demuxers cannot seek back from
    the end. Raises InvalidArgument (MEDIA_CORRUPT)."""
    with open_media(media, content_type) as container:
        return duration_seconds(container)


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


def is_cover(stream: Any) -> bool:
    """Whether a video track is cover art."""
    return bool(stream.disposition & Disposition.attached_pic)


def locations(metadata: dict[str, str]) -> list[str]:
    return [metadata[tag] for tag in LOCATION_TAGS if tag in metadata]


def common(
    container: Any, audio: Any, media: int, content_type: str, duration: float
) -> dict[str, Any]:
    """Returns the fields of AvInfo. Decodes some audio to check that this is possible."""
    size = os.fstat(media).st_size
    bit_rate = container.bit_rate or (size * 8 / duration if duration else 0)
    track = AudioTrack()
    if audio is not None:
        first_frame(container, audio)
        track = audio_track(audio)
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


def describe_video(video: Any, max_pixels: int) -> dict[str, Any]:
    """Returns the fields of VideoInfo for the video track. Decodes a frame to check that this is
    possible."""
    decoder = decoder_of(video)
    check_pixels(decoder.width, decoder.height, max_pixels)
    frame = first_frame(video.container, video)
    check_pixels(frame.width, frame.height, max_pixels)  # the header may claim less
    aspect = float(video.sample_aspect_ratio or 1)
    if not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
        aspect = 1.0
    width, height = round(frame.width * aspect), frame.height
    check_pixels(width, height, max_pixels)
    # FFmpeg counts counterclockwise, from -180 to 180. Players support only quarter turns.
    rotation = round(-frame.rotation / 90) * 90 % 360
    if rotation in {90, 270}:
        width, height = height, width
    return {
        "width": width,
        "height": height,
        "rotation_degrees": rotation,
        "frame_rate": round(float(video.average_rate or video.guessed_rate or 0), 3),
        "video_codec": codec_name(video),
        "dynamic_range": TRANSFERS.get(frame.color_trc, "SDR"),
        "variable_frame_rate": has_variable_frame_rate(video.container, video),
    }


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    pixels = width * height
    if pixels > max_pixels:
        raise InvalidArgument(
            Reason.PIXEL_LIMIT_EXCEEDED,
            f"A frame of the video has {pixels} pixels; the limit is {max_pixels}.",
        )


def decoder_of(stream: Any) -> Any:
    if stream.codec_context is None:
        raise corrupt("The file has a track of an unknown codec.")
    return stream.codec_context


def first_frame(container: Any, stream: Any) -> Any:
    """Decodes the first frame. Skips corrupt packets before it, as players do."""
    decoder_of(stream).thread_count = 1  # more threads would hold more frames in memory
    rewind(container)
    for tried, packet in enumerate(container.demux(stream)):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            frames = []
        if frames:
            return frames[0]
        if tried > MAX_PACKETS_WITHOUT_FRAME:
            break
    raise corrupt(f"The {stream.type} track cannot be decoded.")
