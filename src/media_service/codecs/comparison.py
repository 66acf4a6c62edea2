"""Compares a result with its source, so that no job succeeds with a wrong result."""

from media_service.codecs.ends import Ends, ImageLook
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.video.edits import Edits

# How much shorter than its source a track may be: in seconds, and as a share of its duration.
TOLERANCE_SECONDS, TOLERANCE_SHARE = 1.0, 0.02


def check_frames(source: Ends, result: Ends, size: tuple[int, int], *, hdr: bool) -> None:
    """Checks the frames of a result that should be `size`. `hdr`: the source has a high dynamic
    range. Raises InvalidArgument (MEDIA_CORRUPT)."""
    for name, before, after in (
        ("first", source.first, result.first),
        ("last", source.last, result.last),
    ):
        if after is None:
            raise corrupt(f"The {name} frame of the result cannot be decoded.")
        check_size((after.width, after.height), size)
        if after.is_black and before is not None and before.is_visible(hdr=hdr):
            raise corrupt(f"The {name} frame of the result is black, but not that of the original.")


def check_size(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Raises InvalidArgument (MEDIA_CORRUPT)."""
    if size != wanted:
        raise corrupt(
            f"The result has {size[0]} × {size[1]} pixels instead of {wanted[0]} × {wanted[1]}."
        )


def check_visible(source: Ends, result: ImageLook, *, hdr: bool) -> None:
    """Checks that an image is black only if one end of the video is. Raises InvalidArgument
    (MEDIA_CORRUPT)."""
    frames = [frame for frame in (source.first, source.last) if frame is not None]
    if result.is_black and frames and all(frame.is_visible(hdr=hdr) for frame in frames):
        raise corrupt("The result is black, but not the original.")


def is_shorter(seconds: float, wanted: float) -> bool:
    """Whether a result is shorter than wanted by more than the tolerance."""
    return wanted - seconds > TOLERANCE_SECONDS + wanted * TOLERANCE_SHARE


def check_duration(track: str, seconds: float | None, wanted: float | None) -> None:
    """Checks the duration of a track of a result. `seconds` or `wanted` is None if that of the
    result or of the source is unknown. Raises InvalidArgument (MEDIA_CORRUPT)."""
    if seconds is None or wanted is None:
        return
    if is_shorter(seconds, wanted):
        raise corrupt(
            f"{track} of the result ends after {seconds:.2f} seconds instead of {wanted:.2f}"
            " seconds: a part of it cannot be decoded."
        )


def edited_seconds(end: float | None, edits: Edits) -> float | None:
    """Returns how long a track that ends at a time lasts after edits. None: unknown."""
    if end is None:
        return None
    return max(0.0, min(end, edits.end) - edits.start) / edits.speed
