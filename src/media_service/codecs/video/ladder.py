"""Which sizes a film is streamed in, and how it is cut into segments."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Self

from media_service.codecs.video.edits import Edits
from media_service.codecs.video.encoder_settings import kbps
from media_service.codecs.video.filter_graph import scaled
from media_service.codecs.video.source import AvSource
from media_service.errors import InvalidArgument, Reason

# Players switch sizes between segments. Of the first it is a part: somebody waits for it.
SEGMENT_SECONDS = 2
OPENING = 3
# A longer film is cut into chunks that are encoded side by side, each of so many segments.
WHOLE_SECONDS = 90
CHUNK_SEGMENTS = 15
# Ticks of a second are a multiple of the frame rate, and at least so many.
TICKS = 10_000
SAMPLE_RATE = 48_000
# Sounds and subtitles that a stream has, at most.
MOST_TRACKS = 16
TEXT = "text"
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,5}")
# No film is longer; a header may say what it likes.
MOST_SECONDS = 48 * 3600


@dataclass(frozen=True, slots=True)
class Rung:
    """One size. `name`: as the contract calls it, such as "720p"."""

    name: str
    width: int
    height: int
    kbps: int


@dataclass(frozen=True, slots=True)
class Track:
    """A sound or subtitles: the one of this `index` among those of the film."""

    name: str
    index: int
    language: str
    title: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """`rate`: pictures per second, all evenly spaced, as numerator and denominator. `seconds`: of
    the whole film, about. `opening_frames`: of the first segment, and the rest of what would be it
    is the second; 0: it is as long as others. `chunks`: how many there are, all but the last as
    long as `chunk_segments`."""

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
        """How long a picture is, in ticks."""
        return self.rate[1] * self._scale

    @property
    def timescale(self) -> int:
        """Ticks per second, of pictures."""
        return self.rate[0] * self._scale

    @property
    def _scale(self) -> int:
        return -(-TICKS // self.rate[0])

    @property
    def chunk_frames(self) -> int:
        return self.segment_frames * self.chunk_segments

    def first_segment(self, chunk: int) -> int:
        """The number of the first segment of a chunk (from 0); they are counted from 1."""
        opening = chunk > 0 and self.opening_frames > 0
        return chunk * self.chunk_segments + opening + 1

    @property
    def names(self) -> Sequence[str]:
        """Of the sizes and the sounds: what is to be played."""
        return [*(rung.name for rung in self.rungs), *(sound.name for sound in self.audio_tracks)]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        # Rows written before this field was renamed have `sounds`.
        audio_tracks = found["audio_tracks"] if "audio_tracks" in found else found["sounds"]
        return cls(
            (found["rate"][0], found["rate"][1]),
            found["seconds"],
            found["segment_frames"],
            found.get("opening_frames", 0),  # of streams from before there were any
            found["chunk_segments"],
            found["chunks"],
            tuple(Rung(**rung) for rung in found["rungs"]),
            tuple(Track(**track) for track in audio_tracks),
            tuple(Track(**track) for track in found["subtitles"]),
        )


def build_ladder(film: AvSource, edits: Edits, profiles: Mapping[int, int], message: Any) -> Ladder:
    """For a film of which `edits` are kept. `profiles`: the kbps of each size, by its shorter side.
    `message`: the operation `stream`. Raises InvalidArgument (PROCESSING_LIMIT_EXCEEDED)."""
    if edits.seconds > MOST_SECONDS:
        raise too_long(edits.seconds)
    rate = min(film.frame_rate * Fraction(edits.factor).limit_denominator(1000), Fraction(60))
    segment_frames = max(1, round(SEGMENT_SECONDS * rate))
    segment = segment_frames / rate
    whole = edits.seconds <= WHOLE_SECONDS
    segments = max(1, -(-Fraction(edits.seconds) // segment))
    chunk_segments = int(segments) if whole else CHUNK_SEGMENTS
    return Ladder(
        (rate.numerator, rate.denominator),
        edits.seconds,
        segment_frames,
        segment_frames // OPENING,
        chunk_segments,
        1 if whole else max(1, round(segments / chunk_segments)),
        rungs(film, profiles, message.min_height, message.max_height),
        () if edits.mute else tracks("a", film.sounds),
        tracks("s", list(enumerate(film.subtitles))) if edits.factor == 1 else (),
    )


def too_long(seconds: float) -> InvalidArgument:
    hours = MOST_SECONDS // 3600
    return InvalidArgument(
        Reason.PROCESSING_LIMIT_EXCEEDED,
        f"The film has {seconds:.0f} seconds by its header; at most {hours} hours are streamed.",
    )


def rungs(film: AvSource, profiles: Mapping[int, int], least: int, most: int) -> Sequence[Rung]:
    """Largest first. A film that is smaller than all sizes wanted has its own."""
    side = min(film.width, film.height)
    wanted = [height for height in sorted(profiles, reverse=True) if least <= height <= most]
    heights = [height for height in wanted if height <= side]
    if not heights or (wanted and side < min(wanted)):
        heights = [min(side, most)]
    return tuple(
        Rung(f"{height}p", *scaled((film.width, film.height), height), kbps(profiles, height))
        for height in heights
    )


def tracks(letter: str, found: Sequence[tuple[int, Mapping[str, Any]]]) -> Sequence[Track]:
    """Those that can be part of a stream; subtitles are, if they are text."""
    wanted = [(place, each) for place, each in found if each.get(TEXT, True)]
    return tuple(
        Track(f"{letter}{number}", place, language(each), each.get("title", ""))
        for number, (place, each) in enumerate(wanted[:MOST_TRACKS], 1)
    )


def language(track: Mapping[str, Any]) -> str:
    """As BCP 47 has it; empty if the file says none that fits."""
    found = str(track.get("language", ""))
    return found if LANGUAGE.fullmatch(found) else ""
