"""Loads images in the form that operations require: upright, in sRGB, with three or four bands of 8
bits."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyvips

from media_service.codecs.image import heic
from media_service.codecs.image.color_space import srgb
from media_service.codecs.image.geometry import Image, Size, resized
from media_service.codecs.image.loaders import ANIMATED, is_hevc, loader_of, open_page, value
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.codecs.sandbox.out_of_memory import is_out_of_memory
from media_service.errors import InvalidArgument, Reason

# Returns the target size for an original size.
Scale: TypeAlias = Callable[[Size], Size]

MAX_FRAMES = 1000


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """A loaded image. `size` is the upright size of the original. The frames may be scaled down.
    `delays` (in milliseconds) and `loop` are those of an animation. `exif` is the metadata block of
    the file."""

    size: Size
    frames: list[Image]
    delays: list[int]
    loop: int
    exif: bytes


def load(
    media: int, content_type: str, max_pixels: int, *, animated: bool, scale: Scale | None = None
) -> LoadedImage:
    """Opens an image. The pixels of a single frame are decoded on demand, once, from top to bottom.

    With `scale`, the image is decoded in the target size if that is smaller, which avoids decoding
    and converting unneeded pixels. An SVG is also drawn larger. Raises InvalidArgument
    (MEDIA_CORRUPT, PROCESSING_LIMIT_EXCEEDED).
    """
    loader = loader_of(content_type)
    header = open_page(media, loader)
    count = value(header, "n-pages", 1) if animated and loader in ANIMATED else 1
    check_size(header.width, header.height, 1, max_pixels)
    exif = bytes(value(header, "exif-data", b""))
    stored: Size = (header.width, header.height)
    swapped = value(header, "orientation", 1) >= 5
    original = target = (stored[1], stored[0]) if swapped else stored
    if scale is not None:
        target = scale(original)
        if not fits(target, original) and loader != "svgload":
            target = original
    check_size(*target, count, max_pixels)
    size = (target[1], target[0]) if swapped else target
    if count > 1:
        strip = open_strip(media, loader, stored, size, count, max_pixels)
        frames = [upright(resized(srgb(f), size)).copy_memory() for f in split_frames(strip, count)]
        delays, loop = list(value(strip, "delay", [])), value(strip, "loop", 0)
        return LoadedImage(original, frames, delays, loop, exif)
    image = srgb(resized(open_scaled(media, loader, header, stored, size, max_pixels), size))
    return LoadedImage(original, [upright(image)], [], 0, exif)


def decode(media: int, content_type: str) -> None:
    """Decodes all pixels to check that the image is intact."""
    loader = loader_of(content_type)
    header = open_page(media, loader)
    if is_hevc(header):
        heic.decode(media)
    elif loader in ANIMATED:
        open_page(media, loader, n=-1).avg()
    else:
        header.avg()


def open_drawing(media: int, loader: str, scale: float) -> Image:
    """Opens a vector drawing. libvips reports a wrong size for one that declares a side of millions
    of pixels, and cannot scale it. Raises InvalidArgument (MEDIA_CORRUPT), MemoryError."""
    try:
        return open_page(media, loader, scale=scale)
    except pyvips.Error as error:
        if is_out_of_memory(str(error)):
            raise MemoryError from None
        raise corrupt("The drawing declares a size that cannot be rendered.") from error


def fits(size: Size, limit: Size) -> bool:
    return size[0] <= limit[0] and size[1] <= limit[1]


def check_size(width: int, height: int, frames: int, max_pixels: int) -> None:
    if frames > MAX_FRAMES:
        raise InvalidArgument(
            Reason.PROCESSING_LIMIT_EXCEEDED,
            f"The image has {frames} frames; the limit is {MAX_FRAMES}.",
            limit="frames",
            value=MAX_FRAMES,
        )
    if width * height * frames > max_pixels:
        raise InvalidArgument(
            Reason.PROCESSING_LIMIT_EXCEEDED,
            f"The image has {width} × {height} pixels"
            + (f" in {frames} frames" if frames > 1 else "")
            + f"; the limit is {max_pixels} pixels.",
            limit="pixels",
            value=max_pixels,
        )


def open_strip(
    media: int, loader: str, stored: Size, size: Size, count: int, max_pixels: int
) -> Image:
    """Opens all frames, stacked vertically. Frames of a GIF are decoded on demand, in order. Those
    of a WebP are decoded into memory together, not much larger than `size`."""
    options = webp_scale(stored, size, count, max_pixels) if loader == "webpload" else {}
    return open_page(media, loader, n=-1, **options)


def webp_scale(stored: Size, size: Size, count: int, max_pixels: int) -> dict[str, Any]:
    """The options with which the decoder scales down to twice `size`, or if that is too much for
    `count` frames, to `size`."""
    scale = max(size[0] / stored[0], size[1] / stored[1])
    if count * stored[0] * stored[1] * min(1, 2 * scale) ** 2 < max_pixels:
        scale *= 2
    return {"scale": scale} if scale < 1 else {}


def split_frames(strip: Image, count: int) -> list[Image]:
    """Returns the frames. They must be computed in order."""
    height = strip.height // count
    strip = strip.copy()
    strip.remove("page-height")
    return [strip.crop(0, number * height, strip.width, height) for number in range(count)]


def upright(image: Image) -> Image:
    """Applies the EXIF orientation. The pixels must be in memory, because rows are not read in
    order. Therefore, this is the last step, when the image is smallest."""
    if value(image, "orientation", 1) <= 1:
        return image
    return image.copy_memory().autorot()


def open_scaled(
    media: int, loader: str, header: Any, stored: Size, size: Size, max_pixels: int
) -> Image:
    """Opens one frame, not rotated, in the colors of the file. The decoder scales it down if it
    supports that, but not below `size`."""
    if is_hevc(header):
        return heic.load(media)
    across, down = stored[0] / size[0], stored[1] / size[1]
    shrink = min(across, down)
    if loader == "jpegload" and shrink >= 4:
        factor = 8 if shrink >= 16 else 4 if shrink >= 8 else 2
        return open_page(media, loader, shrink=factor)
    if loader == "webpload":
        return open_page(media, loader, **webp_scale(stored, size, 1, max_pixels))
    if loader == "svgload" and shrink != 1:
        # Scaled by the larger factor, it can exceed the target size in the other direction.
        max_scale = math.sqrt(max_pixels / (stored[0] * stored[1]))
        return open_drawing(media, loader, min(1 / shrink, max_scale))
    return header
