"""Errors of videos."""

from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.errors import MediaError


def no_decodable_frame() -> MediaError:
    return corrupt("No frame of the video can be decoded.")
