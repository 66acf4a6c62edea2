"""How films are encoded: at a constant quality, as long as that takes no more than so many bits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mediaservice.v1.operation_pb2 import Operation

Transcode = Operation.Transcode

MP4 = {"movflags": "+faststart", "format": "mp4"}
WEBM = {"format": "webm", "cues_to_front": 1}
AAC = {"c:a": "aac"}
OPUS = {"c:a": "libopus"}
# Seconds between pictures that can be shown without others: from there a player goes on.
KEY_SECONDS = 4


@dataclass(frozen=True, slots=True)
class Codec:
    """`options` of ffmpeg: the quality looks alike, and a core makes them at a like pace."""

    content_type: str
    options: Mapping[str, Any]
    # How the most bits are told: of VP9, as the bitrate that is wanted.
    capped: str = "maxrate:v"


CODECS = {
    Transcode.H264: Codec(
        "video/mp4",
        {"c:v": "libx264", "preset": "veryfast", "crf": 22, "profile:v": "high", **MP4, **AAC},
    ),
    Transcode.HEVC: Codec(
        "video/mp4",
        # The name under which Apple's players know it.
        {"c:v": "libx265", "preset": "fast", "crf": 25, "tag:v": "hvc1", **MP4, **AAC}
        | {"x265-params": "log-level=error"},
    ),
    Transcode.VP9: Codec(
        "video/webm",
        {"c:v": "libvpx-vp9", "crf": 32, "deadline": "good", "cpu-used": 4, "row-mt": 1}
        | {**WEBM, **OPUS},
        capped="b:v",
    ),
    Transcode.AV1: Codec("video/mp4", {"c:v": "libsvtav1", "preset": 8, "crf": 32, **MP4, **AAC}),
}


def kbps(profiles: Mapping[int, int], short_side: int) -> int:
    """What a film of this height may take: as the smallest profile that is not smaller."""
    return profiles[min((side for side in profiles if side >= short_side), default=max(profiles))]
