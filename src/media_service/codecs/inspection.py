"""The types of inspection results, and their validation.

A hostile file can take over the child that reads it. Therefore, a result is accepted only if it has
the types and bounds below. The database stores the same structures as JSON. Their fields have the
names of the API's messages.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from media_service.codecs.inspect.capture_time import is_plausible
from media_service.codecs.inspect.limits import (
    MAX_CHAPTERS,
    MAX_INT32,
    MAX_LANGUAGE,
    MAX_NAME,
    MAX_NUMBER,
    MAX_TAGS,
    MAX_TITLE,
    MAX_TRACKS,
    MAX_VALUE,
    STORABLE,
)
from media_service.codecs.refinements import refinements
from media_service.errors import InvalidArgument, Reason

Count = Annotated[int, Meta(ge=0, le=MAX_INT32)]
Number = Annotated[float, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Text = Annotated[str, Meta(max_length=MAX_VALUE, pattern=STORABLE)]
Title = Annotated[str, Meta(max_length=MAX_TITLE, pattern=STORABLE)]
Language = Annotated[str, Meta(max_length=MAX_LANGUAGE, pattern=STORABLE)]
Name = Annotated[str, Meta(max_length=MAX_NAME, pattern=STORABLE)]
Tags = Annotated[dict[Name, Text], Meta(max_length=MAX_TAGS)]
FileWarning = Literal["END_MISSING", "TRAILING_BYTES", "DATA_DAMAGED"]
DynamicRange = Literal["DYNAMIC_RANGE_UNSPECIFIED", "SDR", "HDR_PQ", "HDR_HLG"]


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An immutable structure. Decoding ignores unknown fields. Encoding omits default values, which
    are therefore the defaults of the API's messages: zero and empty."""


class AudioTrack(Record, frozen=True, kw_only=True):
    """An audio track. `codec` is empty if the service cannot decode the track. `bit_depth` is set
    for PCM."""

    codec: Text = ""
    channels: Count = 0
    sample_rate_hz: Count = 0
    bit_depth: Count = 0
    language: Language = ""
    title: Title = ""


class SubtitleTrack(Record, frozen=True, kw_only=True):
    """A subtitle track. `text` is false if its subtitles are images."""

    codec: Text = ""
    language: Language = ""
    title: Title = ""
    text: bool = False


class Chapter(Record, frozen=True, kw_only=True):
    """A titled range of a video or audio file."""

    start_seconds: Number
    end_seconds: Number
    title: Title = ""


Chapters = Annotated[tuple[Chapter, ...], Meta(max_length=MAX_CHAPTERS)]


class FileInfo(Record, frozen=True, kw_only=True):
    """The common fields of all kinds of files."""

    warnings: Annotated[tuple[FileWarning, ...], Meta(max_length=3)] = ()


class ImageInfo(FileInfo, frozen=True, kw_only=True):
    """An image. `width` and `height` are as displayed, after `orientation` is applied."""

    width: Count
    height: Count
    orientation: Count = 0
    page_count: Count = 0
    has_alpha: bool = False
    color_space: Text = ""
    has_icc_profile: bool = False


class AvInfo(FileInfo, frozen=True, kw_only=True):
    """The common fields of VideoInfo and AudioInfo. The fields `audio_*` describe the first track
    that can be decoded."""

    duration_seconds: Number
    bit_rate_kbps: Count = 0
    container: Text = ""
    audio_codec: Text = ""
    audio_channels: Count = 0
    audio_sample_rate_hz: Count = 0
    audio_bit_depth: Count = 0
    chapters: Chapters = ()


# The perceptual hashes of an image: of the whole, and of crops. Those of a video are of the frames
# at so many moments.
HASHES, MOMENTS = 6, 6


class VideoTrack(Record, frozen=True, kw_only=True):
    """How to read the video track. This is stored, but not part of the API.

    `index` is its index among the video tracks that are not marked as cover art. `start_seconds`
    is when it begins, in seconds from the beginning of the file. `matrix` is the color matrix of
    ITU-T H.273; 2 means unspecified.
    """

    index: Count = 0
    start_seconds: Number = 0.0
    matrix: Count = 2


class VideoInfo(AvInfo, frozen=True, kw_only=True):
    """A video file. `width` and `height` are as displayed: upright, with square pixels. They are 0
    without a video track."""

    width: Count = 0
    height: Count = 0
    rotation_degrees: Count = 0
    frame_rate: Number = 0.0
    variable_frame_rate: bool = False
    video_codec: Text = ""
    dynamic_range: DynamicRange = "DYNAMIC_RANGE_UNSPECIFIED"
    audio_tracks: Annotated[tuple[AudioTrack, ...], Meta(max_length=MAX_TRACKS)] = ()
    subtitle_tracks: Annotated[tuple[SubtitleTrack, ...], Meta(max_length=MAX_TRACKS)] = ()
    video_track: VideoTrack = VideoTrack()


class AudioInfo(AvInfo, frozen=True, kw_only=True):
    """An audio file."""

    tags: Tags = {}


class DocumentInfo(FileInfo, frozen=True, kw_only=True):
    """A document. Zero and empty values are unknown."""

    page_count: Count = 0
    page_width: Number = 0.0
    page_height: Number = 0.0
    title: Text = ""
    author: Text = ""


Info: TypeAlias = ImageInfo | VideoInfo | AudioInfo | DocumentInfo
I_co = TypeVar("I_co", bound=Info, covariant=True)


class Location(Record, frozen=True, kw_only=True):
    """A location in decimal degrees. North and east are positive."""

    latitude: Number
    longitude: Number


class PrivateInfo(Record, frozen=True, kw_only=True):
    """Information that only the view FULL shows."""

    exif: Tags = {}
    location: Location | None = None


class Inspection(Record, Generic[I_co], frozen=True, kw_only=True):
    """The result of an inspection. `content_type` is what the file is, which the first bytes may
    not have told. `capture_time` is when the file was recorded, if known."""

    info: I_co
    content_type: Text = ""
    private_info: PrivateInfo = PrivateInfo()
    capture_time: Annotated[datetime, Meta(tz=True)] | None = None


# The result types by kind of media.
INFOS: Mapping[str, type[Info]] = {
    "IMAGE": ImageInfo,
    "VIDEO": VideoInfo,
    "AUDIO": AudioInfo,
    "DOCUMENT": DocumentInfo,
}
INSPECTIONS: Mapping[str, type[Inspection[Info]]] = {
    "IMAGE": Inspection[ImageInfo],
    "VIDEO": Inspection[VideoInfo],
    "AUDIO": Inspection[AudioInfo],
    "DOCUMENT": Inspection[DocumentInfo],
}


def kind_of(info: Info) -> str:
    """Returns the kind of media that `info` describes."""
    return next(kind for kind, type_ in INFOS.items() if isinstance(info, type_))


def validated(answer: Any, kind: str, content_type: str) -> Inspection[Info]:
    """Validates a child's answer about a file that was taken for `kind` and `content_type`, and
    returns the result. Raises InvalidArgument (MEDIA_CORRUPT)."""
    unreadable = InvalidArgument(Reason.MEDIA_CORRUPT, "It cannot be read.")
    kinds = {content_type: kind, **refinements(content_type)}
    try:
        found = msgspec.convert(answer, INSPECTIONS[kinds[answer["content_type"]]])
    except (KeyError, TypeError, msgspec.ValidationError):
        raise unreadable from None
    if found.capture_time and not is_plausible(found.capture_time):
        raise unreadable
    return found


def info_from_json(stored: Any, kind: str) -> Info:
    """From `to_json`."""
    return msgspec.convert(stored, INFOS[kind])


def private_info_from_json(stored: Any) -> PrivateInfo:
    """From `to_json`."""
    return msgspec.convert(stored, PrivateInfo)


def to_json(record: Record) -> dict[str, Any]:
    """Converts a record to JSON values."""
    values: dict[str, Any] = msgspec.to_builtins(record)
    return values
