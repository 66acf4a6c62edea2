"""Streams, their tracks and segments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from media_service.codecs.video.ladder import SAMPLE_RATE, Ladder

# The number of the init segment, which a player needs before any other.
INIT = 0
# The number of the first segment.
FIRST = 1


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream for adaptive playback. `ready`: it is complete. `tracks_ready`: all of its audio and
    subtitle tracks are."""

    stream_id: str
    media_id: str
    job_id: str
    ready: bool
    ladder: Ladder
    create_time: datetime
    tracks_ready: bool

    def timescale(self, track: str) -> int:
        """Ticks per second of a track."""
        audio = {audio.name for audio in self.ladder.audio_tracks}
        return SAMPLE_RATE if track in audio else self.ladder.timescale


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A segment to store. `duration` is in ticks. `first_bytes` is the number of bytes up to the
    end of the first frame. `codec` is set for an init segment."""

    track: str
    number: int
    duration: int = 0
    first_bytes: int = 0
    codec: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stored segment. For the fields, see `NewSegment`."""

    number: int
    duration: int
    first_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TrackState:
    """The state of a track.

    `segments` is the number of segments from the first one up to a gap. `last` is the number of the
    last stored segment. `peak` and `average` are the bit rates of the segments in bit/s. `frames`
    is the peak of the I-frame playlist in bit/s. Peaks ignore segments shorter than half a usual
    segment or, once the stream is complete, shorter than half the longest segment.
    """

    codec: str
    segments: int
    last: int
    peak: int
    average: int
    frames: int

    @property
    def bandwidth(self) -> int:
        """The bit rate to announce for a complete track. The average also counts the segments that
        the peak ignores."""
        return max(self.peak, self.average)


@dataclass(frozen=True, slots=True)
class Overview:
    """A stream, and the state of each track that has segments, by name."""

    stream: Stream
    tracks: Mapping[str, TrackState]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The segments of a track, in order, from the first one up to a gap."""

    stream: Stream
    track: str
    segments: Sequence[Segment]
