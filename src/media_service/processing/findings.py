"""Checks what an inspection answered before it is kept.

The child that answered may have been taken over by the file it read, so its answer has exactly the
fields and types of the contract, and only text and numbers that PostgreSQL's jsonb can hold.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from media_service.errors import InvalidArgument, Reason
from media_service.processing.inspect.exif import MAX_TAGS, MAX_VALUE

MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1

# NUL and lone surrogates are no text to PostgreSQL.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

SOUND_FIELDS: dict[str, type] = {
    "duration_seconds": float,
    "audio_codec": str,
    "audio_channels": int,
    "audio_sample_rate_hz": int,
    "bit_rate_bps": int,
    "container": str,
}
# The fields of the contract's messages, but the private ones.
FIELDS: dict[str, dict[str, type]] = {
    "IMAGE": {
        "width": int,
        "height": int,
        "orientation": int,
        "page_count": int,
        "has_alpha": bool,
        "color_space": str,
        "has_icc_profile": bool,
    },
    "VIDEO": {
        **SOUND_FIELDS,
        "width": int,
        "height": int,
        "rotation_degrees": int,
        "frame_rate": float,
        "video_codec": str,
    },
    "AUDIO": SOUND_FIELDS,
    "DOCUMENT": {},
}


@dataclass(frozen=True, slots=True)
class Inspection:
    """`info` has the field names of the contract's ImageInfo, VideoInfo or AudioInfo;
    `private_info` may hold `exif` (name → text) and `location` (latitude, longitude)."""

    info: dict[str, Any]
    private_info: dict[str, Any]


def checked(answer: Any, kind: str) -> Inspection:
    """Raises InvalidArgument (MEDIA_CORRUPT) if the answer is not one of an honest child."""
    try:
        info = {
            name: field(answer["info"][name], wanted, name)
            for name, wanted in FIELDS[kind].items()
            if name in answer["info"]
        }
        return Inspection(info, private(answer["private_info"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidArgument(Reason.MEDIA_CORRUPT, "It cannot be read.") from None


def field(value: Any, wanted: type, name: str) -> Any:
    if wanted is float:
        return number(value)
    if type(value) is not wanted:
        raise TypeError(name)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int) and wanted is int:
        return min(max(0, value), MAX_INT64 if name == "bit_rate_bps" else MAX_INT32)
    return value


def number(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def text(value: str) -> str:
    return UNSTORABLE.sub("", value)[:MAX_VALUE]


def private(found: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if "exif" in found:
        tags = list(found["exif"].items())[:MAX_TAGS]
        result["exif"] = {text(name): text(value) for name, value in tags}
    if "location" in found:
        result["location"] = {
            name: number(found["location"][name]) for name in ("latitude", "longitude")
        }
    return result
