"""Films and sounds: what their headers say, and whether they begin to play. Runs in a child."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import av
from av.stream import Disposition

from media_service.codecs.demuxers import DEMUXERS
from media_service.codecs.inspect.container import open_container
from media_service.codecs.inspect.location import from_iso6709
from media_service.codecs.inspect.timing import duration_seconds, is_uneven, rewind
from media_service.codecs.inspect.tracks import (
    audio_tracks,
    chapters,
    codec_name,
    sound,
    subtitle_tracks,
    tags,
)
from media_service.codecs.inspect.truncation import check_whole
from media_service.errors import InvalidArgument, Reason

# FFmpeg names these demuxers by all they read.
CONTAINERS = {"mov": "mov,mp4,m4a,3gp,3g2,mj2", "matroska": "matroska,webm"}
# How much wider or higher than a square a pixel may be.
MOST_ASPECT = 10
# A stream of which this many packets give no frame does not play.
PATIENCE = 300
# Transfer characteristics (ITU-T H.273) beyond the standard range: SMPTE ST 2084, ARIB STD-B67.
TRANSFERS = {16: "HDR_PQ", 18: "HDR_HLG"}

LOCATION_TAGS = ("com.apple.quicktime.location.ISO6709", "location", "location-eng")


def corrupt(message: str) -> InvalidArgument:
    return InvalidArgument(Reason.MEDIA_CORRUPT, message)


def inspect_video(media: int, content_type: str, max_pixels: int) -> dict[str, Any]:
    """{"info": …, "private_info": …} of the open file `media`.

    Raises InvalidArgument (MEDIA_CORRUPT, PIXEL_LIMIT_EXCEEDED).
    """
    duration = measured(media, content_type)
    with open_media(media, content_type) as container:
        pictures = [s for s in container.streams.video if not is_cover(s)]
        video = pictures[0] if pictures else None
        audio = decodable(container.streams.audio)
        if video is None and audio is None:
            raise corrupt("The film has neither pictures nor sound that can be decoded.")
        info = common(container, audio, media, duration) | {
            "audio_tracks": audio_tracks(list(container.streams.audio)),
            "subtitle_tracks": subtitle_tracks(list(container.streams.subtitles)),
        }
        if video is not None:
            info |= describe(video, max_pixels)
        place = next(filter(None, map(from_iso6709, locations(container.metadata))), None)
        return {"info": info, "private_info": {"location": place} if place else {}}


def inspect_audio(media: int, content_type: str) -> dict[str, Any]:
    """{"info": …, "private_info": {}} of the open file `media`.

    Raises InvalidArgument (MEDIA_CORRUPT).
    """
    duration = measured(media, content_type)
    with open_media(media, content_type) as container:
        audio = decodable(container.streams.audio)
        if audio is None:
            raise corrupt("The file has no sound that can be decoded.")
        info = common(container, audio, media, duration) | {"tags": tags(container, audio)}
        return {"info": info, "private_info": {}}


def measured(media: int, content_type: str) -> float:
    """Its duration, by a container of its own: not all find their way back from the end. Raises
    InvalidArgument (MEDIA_CORRUPT)."""
    with open_media(media, content_type) as container:
        return duration_seconds(container)


@contextmanager
def open_media(media: int, content_type: str) -> Iterator[Any]:
    """What the file does not allow, here or within the context, is InvalidArgument
    (MEDIA_CORRUPT)."""
    if content_type not in DEMUXERS:
        raise corrupt(f"Files of type {content_type} cannot be read.")
    check_whole(media, DEMUXERS[content_type])
    try:
        with open_container(media, DEMUXERS[content_type]) as container:
            yield container
    except av.FFmpegError as error:
        raise corrupt(f"The file is not readable as {content_type}: {error.strerror}.") from None


def decodable(sounds: Iterable[Any]) -> Any:
    """The first of which the codec is known."""
    return next((sound for sound in sounds if sound.codec_context), None)


def is_cover(stream: Any) -> bool:
    """Cover art of a sound looks like a film of one frame."""
    return bool(stream.disposition & Disposition.attached_pic)


def locations(metadata: dict[str, str]) -> list[str]:
    return [metadata[tag] for tag in LOCATION_TAGS if tag in metadata]


def common(container: Any, audio: Any, media: int, duration: float) -> dict[str, Any]:
    """What films and sounds share; proves that the sound can be decoded."""
    size = os.fstat(media).st_size
    info: dict[str, Any] = {
        "duration_seconds": round(duration, 6),
        "bit_rate_bps": container.bit_rate or (round(size * 8 / duration) if duration else 0),
        "container": CONTAINERS.get(container.format.name, container.format.name),
        "chapters": chapters(container),
        "audio_codec": "",
        "audio_channels": 0,
        "audio_sample_rate_hz": 0,
    }
    if audio is not None:
        first_frame(container, audio)
        info |= sound(audio)
    return info


def describe(video: Any, max_pixels: int) -> dict[str, Any]:
    """What only films have; proves that the pictures can be decoded."""
    decoder = decoder_of(video)
    check_pixels(decoder.width, decoder.height, max_pixels)
    frame = first_frame(video.container, video)
    check_pixels(frame.width, frame.height, max_pixels)  # the header may have said less
    aspect = float(video.sample_aspect_ratio or 1)
    if not 1 / MOST_ASPECT <= aspect <= MOST_ASPECT:  # nobody films so
        aspect = 1.0
    width, height = round(frame.width * aspect), frame.height
    check_pixels(width, height, max_pixels)
    # FFmpeg counts counter-clockwise, from -180 to 180; players know quarter turns only.
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
        "variable_frame_rate": is_uneven(video.container, video),
    }


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    pixels = width * height
    if pixels > max_pixels:
        raise InvalidArgument(
            Reason.PIXEL_LIMIT_EXCEEDED,
            f"A frame has {pixels} pixels, and at most {max_pixels} are taken.",
        )


def decoder_of(stream: Any) -> Any:
    if stream.codec_context is None:
        raise corrupt("The file holds a stream of an unknown codec.")
    return stream.codec_context


def first_frame(container: Any, stream: Any) -> Any:
    """Decodes until a frame comes; what is broken before it is passed over, as players do."""
    decoder_of(stream).thread_count = 1  # a thread's frames would cost memory, and one is wanted
    rewind(container)
    for tried, packet in enumerate(container.demux(stream)):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            frames = []
        if frames:
            return frames[0]
        if tried > PATIENCE:
            break
    raise corrupt(f"The {stream.type} cannot be decoded.")
