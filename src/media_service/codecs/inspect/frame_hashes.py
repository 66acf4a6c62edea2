"""The perceptual hashes of frames of a video. Runs in a child process."""

import time
from typing import Any

import numpy as np

from media_service.codecs.image.perceptual_hash import SIDE, Matrix, hashes_of
from media_service.codecs.inspect.av import open_media
from media_service.codecs.inspect.beginning import decoder_of
from media_service.codecs.inspect.ends import UNSPECIFIED_MATRIX, timed_frames, video_track
from media_service.codecs.inspection import MOMENTS
from media_service.errors import InvalidArgument, Reason

# Seconds of processor time after which no other moment is read.
MAX_SECONDS = 5.0


def hash_frames(
    media: int, content_type: str, track: int, duration_seconds: float, rotation_degrees: int
) -> list[list[str]]:
    """Returns the hashes of the frame at each of `MOMENTS`: none if it cannot be read at little
    cost, or if there is too little in it. The moments are evenly spread, so copies of a video have
    them in common. `track`: see `read_ends`.

    Raises InvalidArgument (MEDIA_CORRUPT).
    """
    found: list[list[str]] = []
    start = time.process_time()
    for number in range(MOMENTS):
        if time.process_time() - start > MAX_SECONDS:
            found.append([])
            continue
        moment = (number + 0.5) / MOMENTS * duration_seconds
        frame = frame_at(media, content_type, track, moment)
        found.append([] if frame is None else hashes_of(luma(frame, rotation_degrees)))
    return found


def frame_at(media: int, content_type: str, track: int, moment: float) -> Any:
    """Returns the last frame until a moment, or else the first one; None if it is too far from a
    key frame. Decodes only frames that others refer to, which is half of the work."""
    found = None
    with open_media(media, content_type) as container:
        decoder_of(video_track(container, track)).skip_frame = "NONREF"
        try:
            for shown, frame in timed_frames(container, track, moment):
                if found is not None and shown > moment:
                    break
                found = frame
        except InvalidArgument as error:
            if error.reason is not Reason.INSPECTION_LIMIT_EXCEEDED:
                raise
            return None
    return found


def luma(frame: Any, rotation_degrees: int) -> Matrix:
    """Returns the upright frame, scaled down."""
    scale = min(1.0, SIDE / max(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    frame.colorspace = UNSPECIFIED_MATRIX  # it does not matter for gray, and some are not known
    small = frame.reformat(width, height, "gray", interpolation="AREA")
    upright = np.rot90(small.to_ndarray(), -rotation_degrees // 90)
    return np.asarray(upright, np.float64)
