"""Pictures: what the header says, and whether all pixels can be decoded. Runs in a child."""

from typing import Any

import pyvips

from media_service.codecs.image import heic
from media_service.codecs.image.libvips_errors import reading
from media_service.codecs.image.loaders import ANIMATED, is_hevc, loader_of, open_page, value
from media_service.codecs.inspect import exif
from media_service.codecs.inspect.location import from_exif
from media_service.errors import InvalidArgument, Reason


@reading()
def inspect(media: int, content_type: str, max_pixels: int) -> dict[str, Any]:
    """{"info": …, "private_info": …} of the open file `media`.

    Raises InvalidArgument (MEDIA_CORRUPT, PIXEL_LIMIT_EXCEEDED).
    """
    # Each picture is looked at once: a cache would only keep one owner's pixels for the next.
    pyvips.cache_set_max(0)
    loader = loader_of(content_type)
    image = open_page(media, loader)
    pages = value(image, "n-pages", 1)
    check_pixels(image.width * image.height * pages, max_pixels)
    if is_hevc(image):
        heic.decoded(media)
    else:
        decode(media, loader, pages, max_pixels)
    return describe(image, pages)


def decode(media: int, loader: str, pages: int, max_pixels: int) -> None:
    """Decodes every pixel once: only that tells whether the file is whole."""
    if loader in ANIMATED:
        open_page(media, loader, n=-1).avg()
        return
    seen = 0
    for number in range(pages):
        page = open_page(media, loader, page=number) if pages > 1 else open_page(media, loader)
        seen += page.width * page.height  # pages of a TIFF may differ
        check_pixels(seen, max_pixels)
        page.avg()


def check_pixels(pixels: int, max_pixels: int) -> None:
    if pixels > max_pixels:
        raise InvalidArgument(
            Reason.PIXEL_LIMIT_EXCEEDED,
            f"The picture has {pixels} pixels, and at most {max_pixels} are taken.",
        )


def describe(image: Any, pages: int) -> dict[str, Any]:
    orientation = value(image, "orientation", 1)
    if not 1 <= orientation <= 8:
        orientation = 1
    turned = orientation >= 5
    fields = {f: str(image.get(f)) for f in image.get_fields() if f.startswith("exif-ifd")}
    private: dict[str, Any] = {"exif": exif.shareable(fields)}
    if place := from_exif(exif.positional(fields)):
        private["location"] = place
    return {
        "info": {
            "width": image.height if turned else image.width,
            "height": image.width if turned else image.height,
            "orientation": orientation,
            "page_count": pages,
            "has_alpha": bool(image.hasalpha()),
            "color_space": str(image.interpretation),
            "has_icc_profile": image.get_typeof("icc-profile-data") != 0,
        },
        "private_info": private,
    }
