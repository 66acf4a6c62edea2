"""Opens pictures with libvips, each type with its own loader and no other."""

from typing import Any

import pyvips

from media_service.errors import InvalidArgument, Reason

# The loader of each type. libvips looks at the bytes itself, so this also pins what they must be.
LOADERS = {
    "image/jpeg": "jpegload",
    "image/png": "pngload",
    "image/apng": "pngload",
    "image/gif": "gifload",
    "image/webp": "webpload",
    "image/tiff": "tiffload",
    "image/heic": "heifload",
    "image/avif": "heifload",
    "image/svg+xml": "svgload",
}
FAMILIES = {
    "jpegload": "Jpeg",
    "pngload": "Png",
    "gifload": "Nsgif",
    "webpload": "Webp",
    "tiffload": "Tiff",
    "heifload": "Heif",
    "svgload": "Svg",
}
# Their frames build on each other, and are decoded in one go.
ANIMATED = {"gifload", "webpload"}


def loader_of(content_type: str) -> str:
    """Raises InvalidArgument (MEDIA_CORRUPT)."""
    if content_type not in LOADERS:
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, f"Pictures of type {content_type} cannot be read."
        )
    return LOADERS[content_type]


def open_page(media: int, loader: str, **options: Any) -> Any:
    """Reads the header of one page; pixels follow as they are asked for, by default from top to
    bottom.

    A drawing (SVG) comes from bytes and not from a place, so it has none to refer to: librsvg
    resolves no reference to a file or a host, and knows no scripts.
    """
    allow_only(loader)
    source = pyvips.Source.new_from_descriptor(media)
    options = {"access": "sequential", "fail_on": "truncated", **options}
    return pyvips.Image.new_from_source(source, "", **options)


def allow_only(loader: str) -> None:
    """Bytes of another type than they were taken for are not even looked at."""
    pyvips.operation_block_set("VipsForeignLoad", True)
    pyvips.operation_block_set(f"VipsForeignLoad{FAMILIES[loader]}", False)


def value(image: Any, name: str, default: Any) -> Any:
    return image.get(name) if image.get_typeof(name) else default


def is_hevc(header: Any) -> bool:
    """Whether the pixels are for another decoder than that of libvips."""
    return bool(value(header, "heif-compression", "") == "hevc")
