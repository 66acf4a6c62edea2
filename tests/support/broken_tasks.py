"""Tasks that fail with an intact image. They run in child processes of the tests."""

from typing import Any

from media_service.codecs.image.libvips_errors import translate_errors
from media_service.codecs.image.load import load


@translate_errors
def bad_graph(media: int, *, content_type: str) -> Any:
    """Requests a region outside a libvips image."""
    loaded = load(media, content_type, 1_000_000, animated=False)
    return loaded.frames[0].crop(0, 0, 100_000, 1).avg()


@translate_errors
def missing_package(media: int, *, content_type: str) -> Any:
    raise RuntimeError("a package is missing")
