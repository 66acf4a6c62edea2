"""Opens images only with the loader of their type: of libvips, or another decoder."""

import sys
from typing import Any

import pyvips

from media_service.codecs.image import gif, jpeg, other_decoders
from media_service.codecs.image.readable import LOADERS
from media_service.errors import InvalidArgument, Reason

CLASS_NAMES = {
    "jpegload": "Jpeg",
    "pngload": "Png",
    "gifload": "Nsgif",
    "webpload": "Webp",
    "tiffload": "Tiff",
    "heifload": "Heif",
    "svgload": "Svg",
}
# Their frames depend on each other, so all are decoded at once.
ANIMATED = {"gifload", "webpload"}

# The faults at which a loader fails. libvips shows the missing parts of a truncated TIFF as black
# unless it fails at every fault, as other readers of TIFF do.
FAIL_ON = {"tiffload": "error"}

# How libvips says that it cannot read a TIFF in Lab with 8 bits.
NO_LAB = "bad labq format"


def loader_of(content_type: str) -> str:
    """Returns the loader of a type. Raises InvalidArgument (MEDIA_CORRUPT)."""
    if content_type not in LOADERS:
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, f"Images of type {content_type} cannot be read."
        )
    return LOADERS[content_type]


def open_page(media: int, loader: str, max_pixels: int = sys.maxsize, **options: Any) -> Any:
    """Reads the header of one page. Pixels are decoded on demand, by default from top to bottom, or
    at once by other decoders than libvips', if there are at most `max_pixels`.

    An SVG is loaded from bytes without a base URL: librsvg resolves no reference to a file or a
    host, and runs no scripts. Other decoders than libvips' have no options.
    """
    if loader in other_decoders.DECODERS:
        return other_decoders.decode(media, loader, max_pixels)
    allow_only(loader)
    # A message that an earlier file of the process left would be part of the next error.
    pyvips.vips_lib.vips_error_clear()
    options = {"access": "sequential", "fail_on": FAIL_ON.get(loader, "truncated"), **options}
    if loader == "jpegload" and jpeg.end_missing(media):
        options["fail_on"] = "warning"  # if more than the marker is missing
        return pyvips.Image.jpegload_buffer(jpeg.with_end(media), **options)
    if loader == "gifload" and gif.ending(media) is gif.Ending.END_MISSING:
        return pyvips.Image.gifload_buffer(gif.with_end(media), **options)
    source = pyvips.Source.new_from_descriptor(media)
    try:
        return getattr(pyvips.Image, f"{loader}_source")(source, **options)
    except pyvips.Error as error:
        if loader == "tiffload" and NO_LAB in str(error):
            return other_decoders.decode(media, "TIFF", max_pixels)
        raise


def allow_only(loader: str) -> None:
    """Blocks all loaders but one, so that files of another format are not parsed."""
    pyvips.operation_block_set("VipsForeignLoad", True)
    pyvips.operation_block_set(f"VipsForeignLoad{CLASS_NAMES[loader]}", False)


def has_message(text: str) -> bool:
    """Whether the last image that was opened left such a message, although it could be decoded."""
    return text.encode() in pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer())


def value(image: Any, name: str, default: Any) -> Any:
    return image.get(name) if image.get_typeof(name) else default


def is_hevc(header: Any) -> bool:
    """Whether the pixels need a decoder other than libvips'."""
    return bool(value(header, "heif-compression", "") == "hevc")
