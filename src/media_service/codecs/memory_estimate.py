"""Estimates the memory that rendering an image needs, from its header and the pipeline, before the
render starts. The bytes per pixel were measured as the peak of a child process."""

from collections.abc import Iterable, Sequence

from media_service.codecs.image.formats import FORMATS, default_formats
from media_service.codecs.image.source import PIXEL_BYTES, ImageSource
from media_service.codecs.pipeline.sizes import SizeTrace, pixels

# The bytes that each encoder needs per pixel of the result.
ENCODER_PIXEL_BYTES = {"JPEG": 12, "PNG": 4, "WEBP": 12, "AVIF": 16, "GIF": 12, "TIFF": 1}
# The size of a libvips graph. Each frame of an animation has a separate graph.
GRAPH_BYTES = 4 << 20


def possible_formats(
    source: ImageSource, format_name: str, deliver: Sequence[str]
) -> Sequence[str]:
    """The formats that the result may have."""
    names = [format_name] if format_name else deliver or default_formats(source.content_type)
    return [name for name in names if name in FORMATS]


def estimate_memory(
    source: ImageSource, overlays: Iterable[ImageSource], trace: SizeTrace, formats: Sequence[str]
) -> int:
    """Returns an upper bound of the peak number of bytes."""
    animated = any(FORMATS[name].animated for name in formats)
    frames = source.animation_frames if animated else 1
    encoder_bytes = max((ENCODER_PIXEL_BYTES[name] for name in formats), default=0)
    frame_bytes = trace.buffered_pixels * PIXEL_BYTES + pixels(trace.size) * encoder_bytes
    overlay_bytes = sum(
        overlay.decoded_bytes + overlay.pixels * PIXEL_BYTES for overlay in overlays
    )
    decoded_bytes = source.decoded_bytes
    if frames > 1:
        # The decoder of WebP holds all frames, scaled to at most twice the sides of the first step.
        scaled = 4 if source.content_type == "image/webp" else 0
        frame_bytes += min(scaled * trace.largest, source.pixels) * PIXEL_BYTES
        frame_bytes += trace.largest * PIXEL_BYTES + GRAPH_BYTES
    return decoded_bytes + overlay_bytes + frames * frame_bytes
