"""The ladder of a stream: its rungs and tracks, and the division into segments and chunks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Self

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.inspection import AudioTrack, SubtitleTrack
from media_service.codecs.video.edits import Edits
from media_service.codecs.video.encoder_settings import max_bit_rate_kbps
from media_service.codecs.video.filter_graph import fit_short_side
from media_service.codecs.video.source import AvSource
from media_service.errors import InvalidArgument, Reason

# The duration of a segment. Players switch rungs between segments. The first segment is shorter by
# a divisor, because the viewer waits for it.
SEGMENT_SECONDS = 2
OPENING_DIVISOR = 3
# Longer videos are divided into chunks, which are encoded in parallel.
MAX_SINGLE_CHUNK_SECONDS = 90
CHUNK_SEGMENTS = 15
# The time scale is a multiple of the frame rate, and at least this.
MIN_TIMESCALE = 10_000
SAMPLE_RATE = 48_000
# The maximum number of audio tracks, and of subtitle tracks.
MAX_TRACKS = 16
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,5}")
# The maximum duration, because a header may claim any duration.
MAX_SECONDS = 48 * 3600


@dataclass(frozen=True, slots=True)
class Rung:
    """One size of the video. `name` is its name in the API, such as "720p"."""

    name: str
    width: int
    height: int
    bit_rate_kbps: int


@dataclass(frozen=True, slots=True)
class Track:
    """An audio or subtitle track. `index` is its index among the tracks of its kind in the
    source."""

    name: str
    index: int
    language: str
    title: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """The plan of a stream.

    `rate` is the constant frame rate as numerator and denominator. `seconds` is the approximate
    duration. `opening_frames` is the number of frames of the short first segment, whose remainder
    is the second segment; 0 means that the first segment has the usual length. `chunks` is the
    number of chunks. All but the last have `chunk_segments` segments.
    """

    rate: tuple[int, int]
    seconds: float
    segment_frames: int
    opening_frames: int
    chunk_segments: int
    chunks: int
    rungs: Sequence[Rung]
    audio_tracks: Sequence[Track]
    subtitles: Sequence[Track]

    @property
    def frame_ticks(self) -> int:
        """The duration of a frame in ticks of the video."""
        return self.rate[1] * self._scale

    @property
    def timescale(self) -> int:
        """Ticks per second of the video."""
        return self.rate[0] * self._scale

    @property
    def _scale(self) -> int:
        return -(-MIN_TIMESCALE // self.rate[0])

    @property
    def chunk_frames(self) -> int:
        return self.segment_frames * self.chunk_segments

    def first_segment(self, chunk: int) -> int:
        """The number of the first segment (from 1) of a chunk (from 0)."""
        opening = chunk > 0 and self.opening_frames > 0
        return chunk * self.chunk_segments + opening + 1

    @property
    def names(self) -> Sequence[str]:
        """The names of the rungs and of the audio tracks."""
        return [*(rung.name for rung in self.rungs), *(track.name for track in self.audio_tracks)]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(
            (stored["rate"][0], stored["rate"][1]),
            stored["seconds"],
            stored["segment_frames"],
            stored["opening_frames"],
            stored["chunk_segments"],
            stored["chunks"],
            tuple(Rung(**rung) for rung in stored["rungs"]),
            tuple(Track(**track) for track in stored["audio_tracks"]),
            tuple(Track(**track) for track in stored["subtitles"]),
        )


def build_ladder(
    source: AvSource, edits: Edits, profiles: Mapping[int, int], message: Operation.Stream
) -> Ladder:
    """Builds the ladder for a source with these edits. `profiles` has the maximum video bit rate in
    kbit/s for each shorter side in pixels. `message` is the operation `stream`. Raises
    InvalidArgument (PROCESSING_LIMIT_EXCEEDED)."""
    if edits.seconds > MAX_SECONDS:
        raise too_long(edits.seconds)
    rate = min(source.frame_rate * Fraction(edits.speed).limit_denominator(1000), Fraction(60))
    segment_frames = max(1, round(SEGMENT_SECONDS * rate))
    segment_seconds = segment_frames / rate
    single_chunk = edits.seconds <= MAX_SINGLE_CHUNK_SECONDS
    segments = max(1, -(-Fraction(edits.seconds) // segment_seconds))
    chunk_segments = int(segments) if single_chunk else CHUNK_SEGMENTS
    subtitles = [
        (index, track)
        for index, track in enumerate(source.subtitle_tracks)
        if track.text and edits.speed == 1
    ]
    return Ladder(
        (rate.numerator, rate.denominator),
        edits.seconds,
        segment_frames,
        segment_frames // OPENING_DIVISOR,
        chunk_segments,
        1 if single_chunk else max(1, round(segments / chunk_segments)),
        select_rungs(source, profiles, message.min_height, message.max_height),
        () if edits.mute else select_tracks("a", source.audio_tracks),
        select_tracks("s", subtitles),
    )


def too_long(seconds: float) -> InvalidArgument:
    hours = MAX_SECONDS // 3600
    return InvalidArgument(
        Reason.PROCESSING_LIMIT_EXCEEDED,
        f"The video lasts {seconds:.0f} seconds by its header; the limit for streams is {hours}"
        " hours.",
        limit="duration_seconds",
        value=MAX_SECONDS,
    )


def select_rungs(
    source: AvSource, profiles: Mapping[int, int], min_height: int, max_height: int
) -> Sequence[Rung]:
    """Returns the rungs, largest first. A video that is smaller than all wanted sizes keeps its
    size."""
    side = min(source.width, source.height)
    wanted = [
        height for height in sorted(profiles, reverse=True) if min_height <= height <= max_height
    ]
    heights = [height for height in wanted if height <= side]
    if not heights or (wanted and side < min(wanted)):
        heights = [min(side, max_height)]
    size = (source.width, source.height)
    return tuple(
        Rung(f"{height}p", *fit_short_side(size, height), max_bit_rate_kbps(profiles, height))
        for height in heights
    )


def select_tracks(
    prefix: str, tracks: Sequence[tuple[int, AudioTrack | SubtitleTrack]]
) -> Sequence[Track]:
    """Selects the tracks that a stream can have, each with its index in the file."""
    return tuple(
        Track(f"{prefix}{number}", index, valid_language(track.language), track.title)
        for number, (index, track) in enumerate(tracks[:MAX_TRACKS], 1)
    )


def valid_language(language: str) -> str:
    """Returns the language if it is a BCP 47 tag, or an empty string."""
    return language if LANGUAGE.fullmatch(language) else ""
