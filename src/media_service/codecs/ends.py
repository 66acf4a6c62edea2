"""How a video begins and ends, and how an image looks, to compare a result with its source."""

from typing import Annotated

from msgspec import Meta

from media_service.codecs.inspect.limits import MAX_TRACKS
from media_service.codecs.inspection import Count, Number, Record

# The share of pixels that are nearly black in a black frame, and at most that are dark in a visible
# one. The encoder blurs single bright pixels.
BLACK_SHARE, VISIBLE_SHARE = 0.98, 0.9
# A brightness below which an HDR frame may be black in standard dynamic range.
MIN_HDR_BRIGHTNESS = 64


class FrameLook(Record, frozen=True, kw_only=True):
    """A decoded frame: its size as stored, the shares of nearly black and of dark pixels, and the
    mean brightness, up to 255."""

    width: Count
    height: Count
    black: Number
    dark: Number
    brightness: Number

    @property
    def is_black(self) -> bool:
        return self.black >= BLACK_SHARE

    def is_visible(self, *, hdr: bool) -> bool:
        return self.dark <= VISIBLE_SHARE and not (hdr and self.brightness < MIN_HDR_BRIGHTNESS)


class ImageLook(FrameLook, frozen=True, kw_only=True):
    """An image file. An animation has several `frames`, lasts `seconds`, and looks like all of them
    together."""

    frames: Count
    seconds: Number


class Ends(Record, frozen=True, kw_only=True):
    """How a video begins and ends. `first` and `last` are the frames on display then.
    `video_seconds` and `audio_seconds` are when the tracks end. The file was read from
    `read_from` on: a track without packets after that time has no end here. None: unknown, or too
    costly to find."""

    first: FrameLook | None = None
    last: FrameLook | None = None
    video_seconds: Number | None = None
    audio_seconds: Annotated[tuple[Number | None, ...], Meta(max_length=MAX_TRACKS)] = ()
    read_from: Number | None = None

    def audio_track(self, index: int) -> float | None:
        """Returns when an audio track ends."""
        return self.audio_seconds[index] if index < len(self.audio_seconds) else None

    @property
    def latest_video_end(self) -> float | None:
        """The latest time at which the video track may end. None: unknown."""
        return self.read_from if self.video_seconds is None else self.video_seconds

    def latest_audio_end(self, index: int) -> float | None:
        """Returns the latest time at which an audio track may end; 0 if it is missing. None:
        unknown."""
        if self.read_from is None:
            return None
        if index >= len(self.audio_seconds):
            return 0.0
        end = self.audio_seconds[index]
        return self.read_from if end is None else end
