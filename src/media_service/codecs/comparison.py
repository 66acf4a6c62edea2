"""Compares a video or stream with its source, so that no job succeeds with a wrong result."""

from media_service.codecs.ends import Ends
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
        if (after.width, after.height) != size:
            raise corrupt(
                f"The result has {after.width} × {after.height} pixels instead of"
                f" {size[0]} × {size[1]}."
            )
        if after.is_black and before is not None and before.is_visible(hdr=hdr):
            raise corrupt(f"The {name} frame of the result is black, but not that of the original.")


def check_duration(track: str, seconds: float | None, wanted: float | None) -> None:
    """Checks the duration of a track of a result. `seconds` or `wanted` is None if that of the
    result or of the source is unknown. Raises InvalidArgument (MEDIA_CORRUPT)."""
    if seconds is None or wanted is None:
        return
    if wanted - seconds > TOLERANCE_SECONDS + wanted * TOLERANCE_SHARE:
        raise corrupt(
            f"{track} of the result ends after {seconds:.2f} seconds instead of {wanted:.2f}"
            " seconds: a part of it cannot be decoded."
        )


def edited_seconds(end: float | None, edits: Edits) -> float | None:
    """Returns how long a track that ends at a time lasts after edits. None: unknown."""
    if end is None:
        return None
    return max(0.0, min(end, edits.end) - edits.start) / edits.speed
