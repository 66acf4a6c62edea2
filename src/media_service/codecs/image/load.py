"""Pictures as the operations take them: upright, in sRGB, 8 bits, three bands or four."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyvips

from media_service.codecs.image import heic
from media_service.codecs.image.geometry import Image, Size, resized
from media_service.codecs.image.loaders import ANIMATED, is_hevc, loader_of, open_page, value
from media_service.errors import InvalidArgument, Reason

# A size for a picture of a size: what a pipeline begins with.
Scale: TypeAlias = Callable[[Size], Size]

MOST_FRAMES = 1000
# What a picture of one band, or many, without a known meaning is taken for.
KNOWN_BANDS = {1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}


@dataclass(frozen=True, slots=True)
class Picture:
    """`size` is that of the original, upright, which frames may be scaled from. `delays` in
    milliseconds and `loop` are those of an animation; `exif` is its
    block of metadata, as it is in the file."""

    size: Size
    frames: list[Image]
    delays: list[int]
    loop: int
    exif: bytes


def load(
    media: int, content_type: str, max_pixels: int, *, animated: bool, scale: Scale | None = None
) -> Picture:
    """Opens a picture; pixels of a still are read once, from top to bottom, when they are needed.

    With `scale` it comes in that size, if that is smaller, which spares decoding and converting
    what is thrown away; a drawing (SVG) comes in it if it is larger, too. Raises InvalidArgument
    (MEDIA_CORRUPT), InvalidArgument (PROCESSING_LIMIT_EXCEEDED).
    """
    loader = loader_of(content_type)
    header = open_page(media, loader)
    count = value(header, "n-pages", 1) if animated and loader in ANIMATED else 1
    check_size(header.width, header.height, count, max_pixels)
    exif = bytes(value(header, "exif-data", b""))
    stored: Size = (header.width, header.height)
    turned = value(header, "orientation", 1) >= 5
    own = wanted = (stored[1], stored[0]) if turned else stored
    if scale is not None:
        wanted = scale(own)
        if not fits(wanted, own) and loader != "svgload":
            wanted = own
        check_size(*wanted, count, max_pixels)
    size = (wanted[1], wanted[0]) if turned else wanted
    if count > 1:
        strip = open_strip(media, loader)
        frames = [upright(resized(frame, size)) for frame in cut_up(srgb(strip), count)]
        delays, loop = list(value(strip, "delay", [])), value(strip, "loop", 0)
        return Picture(own, frames, delays, loop, exif)
    image = srgb(resized(still(media, loader, header, stored, size, max_pixels), size))
    return Picture(own, [upright(image)], [], 0, exif)


def decode(media: int, content_type: str) -> None:
    """Decodes all that is shown of a picture, to see whether it can be."""
    loader = loader_of(content_type)
    header = open_page(media, loader)
    if is_hevc(header):
        heic.decoded(media)
    elif loader in ANIMATED:
        open_page(media, loader, n=-1).avg()
    else:
        header.avg()


def fits(size: Size, room: Size) -> bool:
    return size[0] <= room[0] and size[1] <= room[1]


def check_size(width: int, height: int, frames: int, max_pixels: int) -> None:
    if frames > MOST_FRAMES:
        raise InvalidArgument(
            Reason.PROCESSING_LIMIT_EXCEEDED,
            f"The picture has {frames} frames, and at most {MOST_FRAMES} are processed.",
        )
    if width * height * frames > max_pixels:
        raise InvalidArgument(
            Reason.PROCESSING_LIMIT_EXCEEDED,
            f"{width} × {height} pixels"
            + (f" in {frames} frames" if frames > 1 else "")
            + f" are too many: at most {max_pixels} are processed.",
        )


def open_strip(media: int, loader: str) -> Image:
    """All frames below one another, decoded as they are needed, into memory: an animation takes no
    room on a disk."""
    return open_page(media, loader, n=-1, access="random", memory=True)


def cut_up(strip: Image, count: int) -> list[Image]:
    height = strip.height // count
    strip = strip.copy()
    strip.remove("page-height")
    return [strip.crop(0, number * height, strip.width, height) for number in range(count)]


def upright(image: Image) -> Image:
    """As its EXIF orientation says. In the end, when there is least to keep in memory: its rows are
    not read in their order any more."""
    if value(image, "orientation", 1) <= 1:
        return image
    return image.copy_memory().autorot()


def still(media: int, loader: str, header: Any, stored: Size, size: Size, max_pixels: int) -> Image:
    """One frame, as it is stored, in the colours of the file: of `size` or more, if the decoder
    can."""
    if is_hevc(header):
        return heic.decode(media)
    across, down = stored[0] / size[0], stored[1] / size[1]
    shrink = min(across, down)
    if loader == "jpegload" and shrink >= 4:
        factor = 8 if shrink >= 16 else 4 if shrink >= 8 else 2
        return open_page(media, loader, shrink=factor)
    if loader == "webpload" and shrink > 2:
        return open_page(media, loader, scale=2 / shrink)
    if loader == "svgload" and shrink != 1:
        # One that is drawn out of proportion is larger than what it becomes.
        most = math.sqrt(max_pixels / (stored[0] * stored[1]))
        return open_page(media, loader, scale=min(1 / shrink, most))
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
