"""A film that others are made of, as inspection found it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from media_service.codecs.demuxers import DEMUXERS

# What most films have, in pictures per second, to be told from what was measured.
USUAL = tuple(
    Fraction(n, d)
    for n, d in (
        (24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1), (60000, 1001),
        (60, 1),
    )
)  # fmt: skip
# More than these are shown by few, and are most often a clock that is no frame rate.
FASTEST, SLOWEST = Fraction(60), Fraction(1)
NEAR = 0.002
# They have no index, so they are opened amid pictures that need others. Few films go on for longer
# before there is one again that can be shown without.
UNINDEXED, BLIND_SECONDS = {"mpegts", "mpeg"}, 15.0
LEAST_UNEVEN = 30.0


@dataclass(frozen=True, slots=True)
class AvSource:
    """Also a sound, which is a film without pictures. `width`, `height`: as shown, upright, with
    square pixels; 0 without pictures. `dynamic_range`: as in VideoInfo. `tracks`: of sound, as in
    VideoInfo, with at least one if there is sound. `bit_rate_bps`: of the whole file."""

    path: Path
    content_type: str
    width: int
    height: int
    duration_seconds: float
    frame_rate: Fraction
    dynamic_range: str
    tracks: Sequence[Mapping[str, Any]]
    subtitles: Sequence[Mapping[str, Any]]
    bit_rate_bps: int = 0

    @classmethod
    def of(cls, path: Path, content_type: str, info: Mapping[str, Any]) -> Self:
        """`info`: what inspection found, as it is kept."""
        tracks = info.get("audio_tracks") or ([info] if info.get("audio_codec") else [])
        return cls(
            path,
            content_type,
            info.get("width", 0),
            info.get("height", 0),
            info["duration_seconds"],
            usual_rate(info.get("frame_rate", 0), uneven=info.get("variable_frame_rate", False)),
            info.get("dynamic_range", "SDR"),
            tracks,
            info.get("subtitle_tracks", ()),
            info.get("bit_rate_bps", 0),
        )

    @property
    def demuxer(self) -> str:
        return DEMUXERS[self.content_type]

    @property
    def blind_seconds(self) -> float:
        """How long before a time one has to begin to read so as to find a key frame."""
        return BLIND_SECONDS if self.demuxer in UNINDEXED else 0.0

    @property
    def has_video(self) -> bool:
        return self.width > 0

    @property
    def sounds(self) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Those of the tracks that can be decoded, each with its place among all of them. Phones
        write some beside the usual one that only they know."""
        return [(at, each) for at, each in enumerate(self.tracks) if each.get("audio_codec") != ""]

    @property
    def sound(self) -> Mapping[str, Any]:
        """The first of them; empty without one."""
        return self.sounds[0][1] if self.sounds else {}


def usual_rate(measured: float, *, uneven: bool = False) -> Fraction:
    """The frame rate that films made of this one have, all pictures evenly spaced. Of `uneven`
    ones, where it moves there are more than was measured."""
    if uneven:
        measured = max(measured, LEAST_UNEVEN)
    if not measured > 0:
        return Fraction(25)
    near = min(USUAL, key=lambda rate: abs(rate - measured))
    if abs(near - measured) <= NEAR * measured:
        return near
    rate = Fraction(measured).limit_denominator(1001)
    return min(max(rate, SLOWEST), FASTEST)
