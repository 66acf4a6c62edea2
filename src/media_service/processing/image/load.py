"""Pictures as the operations take them: upright, in sRGB, 8 bits, three bands or four."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyvips

from media_service.errors import InvalidArgument, Reason, TooLarge
from media_service.processing.image import heic
from media_service.processing.image.geometry import Image, Size, resized
from media_service.processing.image.loaders import ANIMATED, LOADERS, open_page, value

# A size for a picture of a size: what a pipeline begins with.
Scale: TypeAlias = Callable[[Size], Size]

MOST_FRAMES = 1000
# What a picture of one band, or many, without a known meaning is taken for.
KNOWN_BANDS = {1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}


@dataclass(frozen=True, slots=True)
class Picture:
    """`delays` in milliseconds and `loop` are those of an animation; `exif` are its tags as libvips
    has them."""

    frames: list[Image]
    delays: list[int]
    loop: int
    exif: dict[str, str]


def load(
    media: int, content_type: str, max_pixels: int, *, animated: bool, scale: Scale | None = None
) -> Picture:
    """Opens a picture; pixels of a still are read once, from top to bottom, when they are needed.

    With `scale` it comes in that size, if that is smaller, which spares decoding and converting
    what is thrown away. Raises InvalidArgument (MEDIA_CORRUPT), TooLarge
    (PROCESSING_LIMIT_EXCEEDED).
    """
    loader = LOADERS.get(content_type)
    if loader is None:
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, f"Pictures of type {content_type} cannot be read."
        )
    header = open_page(media, loader)
    frames = value(header, "n-pages", 1) if animated and loader in ANIMATED else 1
    check_size(header.width, header.height, frames, max_pixels)
    exif = {f: str(header.get(f)) for f in header.get_fields() if f.startswith("exif-ifd")}
    if frames > 1:
        return animation(media, loader, frames, exif, scale)
    image = still(media, loader, header, scale)
    return Picture([srgb(image)], [], 0, exif)


def check_size(width: int, height: int, frames: int, max_pixels: int) -> None:
    if frames > MOST_FRAMES:
        raise TooLarge(
            Reason.PROCESSING_LIMIT_EXCEEDED,
            f"The picture has {frames} frames, and at most {MOST_FRAMES} are processed.",
        )
    if width * height * frames > max_pixels:
        raise TooLarge(
            Reason.PROCESSING_LIMIT_EXCEEDED,
            f"{width} × {height} pixels"
            + (f" in {frames} frames" if frames > 1 else "")
            + f" are too many: at most {max_pixels} are processed.",
        )


def animation(
    media: int, loader: str, count: int, exif: dict[str, str], scale: Scale | None
) -> Picture:
    strip = srgb(open_page(media, loader, n=-1, access="random"))
    height = strip.height // count
    frames = [strip.crop(0, number * height, strip.width, height) for number in range(count)]
    if scale is not None:
        size = scale((strip.width, height))
        if size[0] <= strip.width and size[1] <= height:
            frames = [resized(frame, size) for frame in frames]
    delays = value(strip, "delay", [])
    return Picture(frames, list(delays), value(strip, "loop", 0), exif)


def still(media: int, loader: str, header: Any, scale: Scale | None) -> Image:
    """One frame, upright, in the colours of the file."""
    orientation = value(header, "orientation", 1)
    turned = orientation >= 5
    hevc = value(header, "heif-compression", "") == "hevc"
    image = header
    if scale is not None:
        width, height = header.width, header.height
        wanted = scale((height, width) if turned else (width, height))
        if turned:
            wanted = wanted[1], wanted[0]
        if wanted[0] <= width and wanted[1] <= height:
            shrink = min(width / wanted[0], height / wanted[1])
            image = heic.decode(media) if hevc else shrunk(media, loader, header, shrink)
            image = resized(image, wanted)
    elif hevc:
        image = heic.decode(media)
    if orientation > 1 and not hevc:
        # Rows are not read in their order any more.
        image = image.copy_memory().autorot()
    return image


def shrunk(media: int, loader: str, header: Any, shrink: float) -> Image:
    """Opened at less than its full size, where the format's decoder can, but at twice what is
    wanted: the rest is scaled better."""
    if loader == "jpegload" and shrink >= 4:
        factor = 8 if shrink >= 16 else 4 if shrink >= 8 else 2
        return open_page(media, loader, shrink=factor)
    if loader == "webpload" and shrink > 2:
        return open_page(media, loader, scale=2 / shrink)
    if loader == "svgload" and shrink > 1:
        return open_page(media, loader, scale=1 / shrink)
    return header


def srgb(image: Image) -> Image:
    """In sRGB, with alpha if it had some."""
    if value(image, "icc-profile-data", None) is not None or image.interpretation == "cmyk":
        image = managed(image)
    if image.interpretation not in {"srgb", "rgb"} or image.format != "uchar":
        if image.interpretation == "multiband":
            bands = min(image.bands, 4)
            image = image.extract_band(0, n=bands).copy(interpretation=KNOWN_BANDS[bands])
        image = image.colourspace("srgb")
    if image.bands > 4:
        image = image.extract_band(0, n=4)
    return image.cast("uchar")


def managed(image: Image) -> Image:
    """By its colour profile. One that does not belong to such a picture is passed over."""
    profile = value(image, "icc-profile-data", b"")
    if image.interpretation == "srgb" and profile[48:56] == b"IEC sRGB":
        return image
    fallback = {"input_profile": "cmyk"} if image.interpretation == "cmyk" else {}
    try:
        return image.icc_transform("srgb", embedded=True, **fallback)
    except pyvips.Error:
        return image
