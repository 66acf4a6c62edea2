"""Checks what an inspection answered before it is kept.

The child that answered may have been taken over by the file it read, so its answer has exactly the
fields and types of the contract, and only text and numbers that PostgreSQL's jsonb can hold.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from media_service.codecs.inspect.limits import (
    MAX_CHAPTERS,
    MAX_LANGUAGE,
    MAX_NAME,
    MAX_TAGS,
    MAX_TITLE,
    MAX_TRACKS,
    MAX_VALUE,
)
from media_service.errors import InvalidArgument, Reason

MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1

# NUL and lone surrogates are no text to PostgreSQL.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# Returns a value as it may be kept. Raises TypeError or ValueError if no honest child answers it.
Check = Callable[[Any], Any]


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a flag")
    return value


def number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def count(most: int = MAX_INT32) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int:
            raise TypeError("not a whole number")
        return min(max(0, value), most)

    return check


def text(most: int = MAX_VALUE) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError("not a text")
        return UNSTORABLE.sub("", value)[:most]

    return check


def one_of(*names: str) -> Check:
    def check(value: Any) -> str:
        if value not in names:
            raise ValueError("not one of the names")
        return str(value)

    return check


def listed(item: Check, most: int) -> Check:
    def check(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise TypeError("not a list")
        return [item(one) for one in value[:most]]

    return check


def tags(value: Any) -> dict[str, str]:
    name, worth = text(MAX_NAME), text()
    return {name(key): worth(tag) for key, tag in list(value.items())[:MAX_TAGS]}


def record(fields: Mapping[str, Check]) -> Check:
    """Exactly these fields."""
    return lambda value: {name: check(value[name]) for name, check in fields.items()}


def found(fields: Mapping[str, Check]) -> Check:
    """Those of these fields that are there."""
    return lambda value: {
        name: check(value[name]) for name, check in fields.items() if name in value
    }


AUDIO = {"audio_codec": text(), "audio_channels": count(), "audio_sample_rate_hz": count()}
LABELS = {"language": text(MAX_LANGUAGE), "title": text(MAX_TITLE)}
CHAPTERS = listed(
    record({"start_seconds": number, "end_seconds": number, "title": text(MAX_TITLE)}), MAX_CHAPTERS
)
PLAYED = {
    **AUDIO,
    "duration_seconds": number,
    "bit_rate_bps": count(MAX_INT64),
    "container": text(),
    "chapters": CHAPTERS,
}
# The fields of the contract's messages, but the private ones.
INFO: dict[str, Check] = {
    "IMAGE": found(
        {
            "width": count(),
            "height": count(),
            "orientation": count(),
            "page_count": count(),
            "has_alpha": flag,
            "color_space": text(),
            "has_icc_profile": flag,
        }
    ),
    "VIDEO": found(
        {
            **PLAYED,
            "width": count(),
            "height": count(),
            "rotation_degrees": count(),
            "frame_rate": number,
            "video_codec": text(),
            "dynamic_range": one_of("SDR", "HDR_PQ", "HDR_HLG"),
            "variable_frame_rate": flag,
            "audio_tracks": listed(record({**AUDIO, **LABELS}), MAX_TRACKS),
            "subtitle_tracks": listed(
                record({"codec": text(), "text": flag, **LABELS}), MAX_TRACKS
            ),
        }
    ),
    "AUDIO": found({**PLAYED, "tags": tags}),
    "DOCUMENT": found(
        {
            "page_count": count(),
            "page_width": number,
            "page_height": number,
            "title": text(),
            "author": text(),
        }
    ),
}
PRIVATE = found({"exif": tags, "location": record({"latitude": number, "longitude": number})})


@dataclass(frozen=True, slots=True)
class Inspection:
    """`info` has the field names of the contract's ImageInfo, VideoInfo, AudioInfo or DocumentInfo;
    `private_info` may hold `exif` (name → text) and `location` (latitude, longitude)."""

    info: dict[str, Any]
    private_info: dict[str, Any]


def checked(answer: Any, kind: str) -> Inspection:
    """Raises InvalidArgument (MEDIA_CORRUPT) if the answer is not one of an honest child."""
    try:
        return Inspection(INFO[kind](answer["info"]), PRIVATE(answer["private_info"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise InvalidArgument(Reason.MEDIA_CORRUPT, "It cannot be read.") from None
