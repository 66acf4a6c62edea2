"""A video or audio file as input, with the results of its inspection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from media_service.codecs.demuxers import DEMUXERS
from media_service.codecs.inspection import (
    AudioInfo,
    AudioTrack,
    DynamicRange,
    Info,
    SubtitleTrack,
    VideoInfo,
    VideoTrack,
)
from media_service.codecs.limits import MIN_SAMPLE_RATE_HZ, av_limits
from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.codecs.sandbox.pool import size_of
from media_service.errors import InvalidArgument, Reason

# Usual frame rates. A measured rate is rounded to them.
USUAL_RATES = tuple(
    Fraction(n, d)
    for n, d in (
        (24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1), (60000, 1001),
        (60, 1),
    )
)  # fmt: skip
RATE_TOLERANCE = 0.002
# The range of frame rates. Few displays show more, and a higher rate is usually a time base.
MAX_RATE, MIN_RATE = Fraction(60), Fraction(1)
DEFAULT_RATE = Fraction(25)
MIN_VARIABLE_RATE = 30.0
# Containers without an index, where a seek may end between frames that need earlier ones. Few
# videos have longer distances between key frames than this.
UNINDEXED_DEMUXERS, MAX_KEY_FRAME_SECONDS = {"mpegts", "mpeg"}, 15.0


# A rate of frames per second below which a second may pass without a new one.
FEW_FRAMES = 2.5


@dataclass(frozen=True, slots=True)
class AvSource:
    """A video or audio file.

    `width` and `height` are as displayed: upright, with square pixels. They are 0 without a video
    track. `frame_rate` is the constant rate of videos that are encoded from it. For
    `dynamic_range`, `all_audio_tracks` and `video_track`, see VideoInfo. There is at least one
    audio track if the file has audio. `bit_rate_kbps` is that of the whole file. `may_pause`: a
    second may pass without a new frame, as in slides and screen recordings.
    """

    path: Path
    content_type: str
    width: int
    height: int
    duration_seconds: float
    frame_rate: Fraction
    dynamic_range: DynamicRange
    all_audio_tracks: Sequence[AudioTrack]
    subtitle_tracks: Sequence[SubtitleTrack]
    bit_rate_kbps: int = 0
    video_track: VideoTrack = VideoTrack()
    has_known_rate: bool = True
    may_pause: bool = False

    @classmethod
    def of(cls, path: Path, content_type: str, info: Info) -> Self:
        """Creates a source. `info` is the result of inspection. Raises ValueError if it is not that
        of a video or audio file, and InvalidArgument (PROCESSING_LIMIT_EXCEEDED) for a file that
        takes too long at any size."""
        match info:
            case VideoInfo():
                video = info
            case AudioInfo():
                video = VideoInfo(duration_seconds=info.duration_seconds)
            case _:
                raise ValueError(f"{info} does not describe a video or audio file")
        rate = info.audio_sample_rate_hz
        if 0 < rate < MIN_SAMPLE_RATE_HZ:
            raise too_few_samples(rate)
        first = AudioTrack(
            codec=info.audio_codec,
            channels=info.audio_channels,
            sample_rate_hz=info.audio_sample_rate_hz,
            bit_depth=info.audio_bit_depth,
        )
        return cls(
            path,
            content_type,
            video.width,
            video.height,
            info.duration_seconds,
            output_frame_rate(video.frame_rate, variable=video.variable_frame_rate),
            video.dynamic_range,
            video.audio_tracks or ((first,) if first.codec else ()),
            video.subtitle_tracks,
            info.bit_rate_kbps,
            video.video_track,
            video.frame_rate > 0,
            video.variable_frame_rate or 0 < video.frame_rate < FEW_FRAMES,
        )

    @property
    def constant_rate(self) -> Mapping[str, Any]:
        """The options with which ffmpeg's filter `fps` outputs a constant frame rate. A video of an
        unknown rate may be one frame without a duration, which the filter would drop by default."""
        kept = {} if self.has_known_rate else {"eof_action": "pass", "round": "down"}
        return {"fps": self.frame_rate, **kept}

    @property
    def demuxer(self) -> str:
        return DEMUXERS[self.content_type]

    @property
    def limits(self) -> ResourceLimits:
        """The limits of work on the file."""
        return av_limits(self.duration_seconds, self.width * self.height, size_of(self.path))

    @property
    def seek_margin_seconds(self) -> float:
        """The seconds by which reading must begin before a wanted time to include a key frame."""
        return MAX_KEY_FRAME_SECONDS if self.demuxer in UNINDEXED_DEMUXERS else 0.0

    def can_seek(self, time: float) -> bool:
        """Whether ffmpeg can seek to a time in seconds. Before the first video frame, the seek of
        some demuxers fails, and ffmpeg then loses the packets with which it detected the codecs.
        To read the file from its beginning takes no seek."""
        return time > self.video_track.start_seconds

    @property
    def video_selector(self) -> str:
        """Selects the video track in ffmpeg. V leaves out cover art."""
        return f"V:{self.video_track.index}"

    @property
    def is_hdr(self) -> bool:
        """Whether it has a high dynamic range."""
        return self.dynamic_range in {"HDR_PQ", "HDR_HLG"}

    @property
    def has_video(self) -> bool:
        return self.width > 0

    @property
    def audio_tracks(self) -> Sequence[tuple[int, AudioTrack]]:
        """The tracks that can be decoded, each with its index among all audio tracks. Phones write
        tracks that only they can decode beside the usual one."""
        return [(index, track) for index, track in enumerate(self.all_audio_tracks) if track.codec]

    @property
    def first_audio_track(self) -> AudioTrack:
        """The first track that can be decoded, or a track without a codec if there is none."""
        return self.audio_tracks[0][1] if self.audio_tracks else AudioTrack()


def too_few_samples(rate: int) -> InvalidArgument:
    return InvalidArgument(
        Reason.PROCESSING_LIMIT_EXCEEDED,
        f"The sample rate of the audio is {rate} Hz; the lowest is {MIN_SAMPLE_RATE_HZ} Hz.",
        limit="sample_rate_hz",
        value=MIN_SAMPLE_RATE_HZ,
    )


def output_frame_rate(measured: float, *, variable: bool = False) -> Fraction:
    """Returns the constant frame rate of a video encoded from a source with this measured rate. A
    `variable` source has more frames than the average where there is motion."""
    if variable:
        measured = max(measured, MIN_VARIABLE_RATE)
    if not measured > 0:
        return DEFAULT_RATE
    nearest = min(USUAL_RATES, key=lambda rate: abs(rate - measured))
    if abs(nearest - measured) <= RATE_TOLERANCE * measured:
        return nearest
    rate = Fraction(measured).limit_denominator(1001)
    return min(max(rate, MIN_RATE), MAX_RATE)
