"""The records of streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from media_service.codecs.video.ladder import SAMPLE_RATE, Ladder

# The number of the segment that a player needs before any other.
HEAD = 0


@dataclass(frozen=True, slots=True)
class Stream:
    """`ready`: all of it is there."""

    stream_id: str
    media_id: str
    job_id: str
    ready: bool
    ladder: Ladder
    create_time: datetime

    def timescale(self, track: str) -> int:
        """Ticks per second of a track."""
        sounds = {sound.name for sound in self.ladder.audio_tracks}
        return SAMPLE_RATE if track in sounds else self.ladder.timescale


@dataclass(frozen=True, slots=True)
class NewSegment:
    """`duration` in ticks; `first_bytes`: up to the end of its first picture; `codec`: of a
    head."""

    track: str
    number: int
    duration: int = 0
    first_bytes: int = 0
    codec: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """As `NewSegment`, with its size."""

    number: int
    duration: int
    first_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TrackState:
    """What there is of a track: its codec, how many segments from the first on without a gap, and
    the number of the last. Bits per second: at most (`peak`; a segment shorter than half a usual
    one, once all is there than half the longest, does not count), on `average`, and at most of what
    fast forward shows (`frames`)."""

    codec: str
    segments: int
    last: int
    peak: int
    average: int
    frames: int


@dataclass(frozen=True, slots=True)
class Overview:
    """A stream, and the state of each track that has begun, by name."""

    stream: Stream
    tracks: Mapping[str, TrackState]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The segments of one track, in order and without a gap."""

    stream: Stream
    track: str
    segments: Sequence[Segment]
