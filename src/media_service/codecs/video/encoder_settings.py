"""Encoder settings for video files: constant quality with a maximum bit rate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mediaservice.v1.operation_pb2 import Operation

Transcode = Operation.Transcode

MP4 = {"movflags": "+faststart", "format": "mp4"}
WEBM = {"format": "webm", "cues_to_front": 1}
AAC = {"c:a": "aac"}
OPUS = {"c:a": "libopus"}
# The distance between key frames in seconds. Players can seek only to key frames.
KEY_FRAME_SECONDS = 4


@dataclass(frozen=True, slots=True)
class Codec:
    """A video codec. `options` are ffmpeg options, chosen so that all codecs have a similar visual
    quality and a similar speed per core. `max_rate_option` is the option for the maximum bit
    rate."""

    content_type: str
    options: Mapping[str, Any]
    max_rate_option: str = "maxrate:v"


CODECS = {
    Transcode.H264: Codec(
        "video/mp4",
        {"c:v": "libx264", "preset": "veryfast", "crf": 22, "profile:v": "high", **MP4, **AAC},
    ),
    Transcode.HEVC: Codec(
        "video/mp4",
        # Apple's players need the tag hvc1.
        {"c:v": "libx265", "preset": "fast", "crf": 25, "tag:v": "hvc1", **MP4, **AAC}
        | {"x265-params": "log-level=error"},
    ),
    Transcode.VP9: Codec(
        "video/webm",
        {"c:v": "libvpx-vp9", "crf": 32, "deadline": "good", "cpu-used": 4, "row-mt": 1}
        | {**WEBM, **OPUS},
        # In constrained quality mode, libvpx takes the target bit rate as the maximum.
        max_rate_option="b:v",
    ),
    Transcode.AV1: Codec("video/mp4", {"c:v": "libsvtav1", "preset": 8, "crf": 32, **MP4, **AAC}),
}


def max_bit_rate_kbps(profiles: Mapping[int, int], short_side: int) -> int:
    """Returns the maximum bit rate for a shorter side. It is that of the smallest profile that is
    not below it."""
    return profiles[min((side for side in profiles if side >= short_side), default=max(profiles))]
