"""What may go wrong while a picture is made of a good one. Each runs in a child of the tests."""

from typing import Any

from media_service.codecs.image.libvips_errors import translate_errors
from media_service.codecs.image.load import load


@translate_errors
def bad_graph(media: int, *, content_type: str) -> Any:
    """Asks libvips for what is not there."""
    picture = load(media, content_type, 1_000_000, animated=False)
    return picture.frames[0].crop(0, 0, 100_000, 1).avg()


@translate_errors
def missing_package(media: int, *, content_type: str) -> Any:
    raise RuntimeError("a package is missing")
