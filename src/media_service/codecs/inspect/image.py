"""Inspects images: reads the header, and decodes all pixels. Runs in a child process."""

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import pyvips

from media_service.codecs.detection.svg import COMPRESSED
from media_service.codecs.image import gif, heic, jpeg, other_decoders, png
from media_service.codecs.image.libvips_errors import decoding
from media_service.codecs.image.loaders import (
    ANIMATED,
    has_message,
    is_hevc,
    loader_of,
    open_page,
    value,
)
from media_service.codecs.inspect import capture_time, exif, names
from media_service.codecs.inspect.limits import count
from media_service.codecs.inspect.location import from_exif
from media_service.codecs.inspect.truncation import check_complete
from media_service.codecs.inspection import (
    FileWarning,
    ImageInfo,
    Inspection,
    PrivateInfo,
    to_json,
)
from media_service.codecs.limits import MAX_ELEMENTS, MAX_PAGES, check_inspectable, check_pixels
from media_service.codecs.refinements import detect_again
from media_service.codecs.sandbox.exit_cause import corrupt
from media_service.errors import Reason


@decoding(Reason.INSPECTION_LIMIT_EXCEEDED)
def inspect(media: int, content_type: str, max_pixels: int) -> dict[str, Any]:
    """Returns an Inspection of the open file `media`, as JSON values.

    Raises InvalidArgument (MEDIA_CORRUPT, PIXEL_LIMIT_EXCEEDED, INSPECTION_LIMIT_EXCEEDED).
    """
    # Each image is read once; a cache would only keep one owner's pixels in memory for the next.
    pyvips.cache_set_max(0)
    content_type = detect_again(media, content_type)
    loader = loader_of(content_type)
    check_complete(media, loader)
    if loader == "svgload":
        check_inspectable("elements", elements(media, content_type), MAX_ELEMENTS)
    if loader in other_decoders.DECODERS:
        image = other_decoders.decode(media, loader, max_pixels)
        return to_json(describe(image, 1, content_type, ()))
    image = open_page(media, loader, max_pixels)
    pages = value(image, "n-pages", 1)
    check_inspectable("pages", pages, MAX_PAGES)
    check_pixels(image.width, image.height, max_pixels)
    if is_hevc(image):
        heic.decode(media)
    else:
        decode(media, loader, image, pages, max_pixels)
    return to_json(describe(image, pages, content_type, faults(media, loader)))


def decode(media: int, loader: str, image: Any, pages: int, max_pixels: int) -> None:
    """Decodes every pixel, which is the only way to check that the file is complete. Of a file with
    many pages or frames, decodes those that have up to `max_pixels` together."""
    count = min(pages, max_pixels // (image.width * image.height))
    if loader == "webpload":
        # Reads the same bytes, but writes a sixteenth of the pixels.
        scale = max(1 / 4, 1 / min(image.width, image.height))
        open_page(media, loader, n=count, scale=scale).avg()
        return
    if loader in ANIMATED:
        open_page(media, loader, n=count).avg()
        return
    if count > 1 and (strip := open_strip(media, loader, count)) is not None:
        strip.avg()
        return
    total = 0
    for number in range(pages):
        page = open_page(media, loader, page=number) if pages > 1 else open_page(media, loader)
        total += page.width * page.height  # pages of a TIFF may differ in size
        if total > max_pixels:
            return
        page.avg()


READ_BYTES = 1 << 20

END_MISSING = {"jpegload": jpeg.end_missing, "pngload": png.end_missing}
# libvips shows the frames until the end of a truncated animation.
GIF_FAULTS: Mapping[gif.Ending, tuple[FileWarning, ...]] = {
    gif.Ending.COMPLETE: (),
    gif.Ending.END_MISSING: ("END_MISSING",),
    gif.Ending.TRUNCATED: ("DATA_DAMAGED",),
}


def elements(media: int, content_type: str) -> int:
    """Counts the elements of an SVG, roughly: an element has one or two tags."""
    with os.fdopen(os.dup(media), "rb") as file:
        file.seek(0)
        packed = content_type == COMPRESSED
        with gzip.open(file) if packed else nullcontext(file) as text:
            try:
                return sum(part.count(b"<") for part in iter(lambda: text.read(READ_BYTES), b""))
            except (OSError, EOFError, zlib.error) as error:
                raise corrupt("The drawing cannot be decompressed: it is damaged.") from error


def open_strip(media: int, loader: str, count: int) -> Any:
    """Opens the first `count` pages, stacked vertically, or returns None if they differ in size.
    Opening each one reads the headers of all of them, which takes long for many pages."""
    try:
        return open_page(media, loader, n=count)
    except pyvips.Error:
        return None


def faults(media: int, loader: str) -> Iterator[FileWarning]:
    """Yields what is wrong with an image that could be decoded."""
    if loader == "gifload":
        yield from GIF_FAULTS[gif.ending(media)]
    elif loader in END_MISSING and END_MISSING[loader](media):
        yield "END_MISSING"
    if has_message("premature end of data segment"):
        yield "DATA_DAMAGED"


def describe(
    image: Any, pages: int, content_type: str, warnings: Iterable[FileWarning]
) -> Inspection[ImageInfo]:
    orientation = value(image, "orientation", 1)
    if not 1 <= orientation <= 8:
        orientation = 1
    swapped = orientation >= 5
    fields = {f: str(image.get(f)) for f in image.get_fields() if f.startswith("exif-ifd")}
    return Inspection(
        info=ImageInfo(
            width=image.height if swapped else image.width,
            height=image.width if swapped else image.height,
            orientation=orientation,
            page_count=count(pages),
            has_alpha=bool(image.hasalpha()),
            color_space=names.color_space(str(image.interpretation)),
            has_icc_profile=image.get_typeof("icc-profile-data") != 0,
            warnings=tuple(warnings),
        ),
        content_type=content_type,
        private_info=PrivateInfo(
            exif=exif.public_tags(fields), location=from_exif(exif.position_tags(fields))
        ),
        capture_time=capture_time.from_exif(exif.setting_tags(fields)),
    )
