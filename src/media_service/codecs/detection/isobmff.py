"""Detects files that consist of boxes: MP4, QuickTime, 3GPP, HEIF, AVIF and JPEG 2000 (ISO/IEC
14496-12)."""

import re
import struct
from itertools import islice

from media_service.codecs.detection.data import Data

HEIC, AVIF = "image/heic", "image/avif"
# Brands that name one format.
BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), HEIC),
    **dict.fromkeys((b"avif", b"avis", b"avio"), AVIF),
    b"jp2 ": "image/jp2",
    b"jpx ": "image/jpx",
    b"jpm ": "image/jpm",
    b"jph ": "image/jph",
    b"jxl ": "image/jxl",
    b"mjp2": "video/mj2",
    b"mj2s": "video/mj2",
    b"crx ": "image/x-canon-cr3",
    b"qt  ": "video/quicktime",
    b"kddi": "video/3gpp2",
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "), "audio/mp4"),
}
PREFIXES = {b"3g2": "video/3gpp2", b"3g": "video/3gpp"}
# Brands of images in general (ISO/IEC 23008-12). The other brands name the format.
IMAGE_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}
# The types of items with the format of the pixels, in entries of the item information box.
ITEM = re.compile(rb"infe(?:\x02.{7}|\x03.{9})(hvc1|hev1|av01)", re.DOTALL)
ITEM_TYPES = {b"hvc1": HEIC, b"hev1": HEIC, b"av01": AVIF}
ITEM_BYTES = 1 << 16

MAX_FTYP, MAX_BRANDS = 4096, 64
# Boxes that may precede the media data of a file without brands.
FILLERS = {b"jP  ", b"JXL ", b"wide", b"free", b"skip", b"junk", b"pnot", b"PICT", b"uuid"}
FRAGMENTS = {b"styp", b"sidx", b"moof", b"emsg", b"prft"}
MOVIE_CHILDREN = {b"mvhd", b"cmov", b"rmra", b"iods", b"trak", b"udta", b"meta", b"prfl", b"ctab"}
MAX_BOXES = 32


def detect(data: Data) -> str:
    at = 0
    for _ in range(MAX_BOXES):
        size, name = box(data, at)
        if name == b"ftyp":
            return by_brands(data, at, size)
        if name in FRAGMENTS and size >= 8:
            return "video/mp4"
        if name == b"moov":
            return "video/quicktime" if data[at + 12 : at + 16] in MOVIE_CHILDREN else ""
        if name == b"mdat" and is_last(data, at + size if size else len(data)):
            return "video/quicktime"
        if (name not in FILLERS and name != b"mdat") or size < 8:
            return ""
        at += size
    return ""


def box(data: Data, at: int) -> tuple[int, bytes]:
    """Returns the size and the name of a box: 0 and an empty name if there is none. The size 0 is
    that of a box to the end of the file."""
    header = data[at : at + 16]
    # No box is "<" and three characters long: that is a text.
    if len(header) < 8 or header[:1] == b"<":
        return 0, b""
    size, name = struct.unpack_from(">I4s", header)
    if size == 1 and len(header) == 16:
        (size,) = struct.unpack_from(">Q", header, 8)
    return size, name


def is_last(data: Data, end: int) -> bool:
    """Whether nothing of the file is known after the media data, or a box follows it."""
    return end >= len(data) or box(data, end)[1] in {b"moov", *FILLERS, *FRAGMENTS, b"mdat"}


def by_brands(data: Data, at: int, size: int) -> str:
    if not 16 <= size <= min(MAX_FTYP, len(data) - at) or size % 4:
        return ""
    major = data[at + 8 : at + 12]
    end = min(at + size, at + 16 + 4 * MAX_BRANDS)
    brands = [data[place : place + 4] for place in range(at + 16, end, 4)]
    if major in IMAGE_BRANDS:
        named = (BRANDS[brand] for brand in brands if BRANDS.get(brand) in {HEIC, AVIF})
        return next(named, "") or by_items(data)
    if major in BRANDS:
        return BRANDS[major]
    for prefix, name in PREFIXES.items():
        if major[: len(prefix)] == prefix:
            return name
    return "video/mp4" if major.isascii() and major.decode().isprintable() else ""


def by_items(data: Data) -> str:
    head = data[:ITEM_BYTES]
    found = (ITEM_TYPES[item[1]] for item in islice(ITEM.finditer(head), 1))
    return next(found, HEIC)
