"""Plans how to remove the metadata of a file. Runs in a child process, which only reads."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from media_service.codecs.strip import audio, boxes, images
from media_service.codecs.strip.pieces import NotStrippable, Source, Strip

STRIPS: Mapping[str, Strip] = {
    "image/jpeg": images.jpeg,
    "image/png": images.png,
    "image/webp": images.webp,
    "image/gif": images.gif,
    **dict.fromkeys(("image/heic", "image/heif", "image/avif"), boxes.image),
    **dict.fromkeys(
        ("video/mp4", "video/quicktime", "video/x-m4v", "video/3gpp", "video/3gpp2"), boxes.movie
    ),
    **dict.fromkeys(("audio/mp4", "audio/3gpp", "audio/3gpp2"), boxes.movie),
    "audio/mpeg": audio.mp3,
    "audio/flac": audio.flac,
    "audio/wav": audio.wav,
}


def plan(media: int, content_type: str) -> list[dict[str, Any]] | None:
    """The pieces of which the file without metadata consists, as JSON values. None: it cannot be
    removed from files of this type, or not from this file."""
    strip = STRIPS.get(content_type)
    if strip is None:
        return None
    try:
        found = strip(Source(media, os.fstat(media).st_size))
    except NotStrippable:
        return None
    return [asdict(piece) for piece in found]
