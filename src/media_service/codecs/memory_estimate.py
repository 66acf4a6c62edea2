"""How much memory a picture takes while it is made, told from its header and its pipeline before
it is begun. Bytes of a pixel are measured, as the peak of a child."""

from collections.abc import Iterable, Sequence

from media_service.codecs.image.formats import FORMATS, like
from media_service.codecs.image.source import PIXEL, ImageSource
from media_service.codecs.pipeline.sizes import SizeTrace, pixels

# What the encoder keeps of each pixel of the result.
ENCODED = {"JPEG": 12, "PNG": 4, "WEBP": 12, "AVIF": 16, "GIF": 12, "TIFF": 1}
# Each frame of an animation is computed by a graph of its own.
FRAME = 4 << 20


def formats(source: ImageSource, format_name: str, deliver: Sequence[str]) -> Sequence[str]:
    """Those that a picture may come out in."""
    names = [format_name] if format_name else deliver or like(source.content_type)
    return [name for name in names if name in FORMATS]


def estimate_memory(
    source: ImageSource, overlays: Iterable[ImageSource], trace: SizeTrace, formats: Sequence[str]
) -> int:
    """Bytes that are needed at once, at most."""
    frames = source.moving if any(FORMATS[name].animated for name in formats) else 1
    encoder = max((ENCODED[name] for name in formats), default=0)
    drawn = trace.held * PIXEL + pixels(trace.size) * encoder
    whole = [overlay.decoded + overlay.pixels * PIXEL for overlay in overlays]
    return source.decoded + sum(whole) + frames * drawn + (frames - 1) * FRAME
