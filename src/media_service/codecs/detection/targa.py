"""Detects Truevision TGA images, which have no signature, by the fields of their header."""

import struct

from media_service.codecs.detection.data import Data

HEADER_BYTES = 18
# Types of images with a color map, of colors, and of gray, without and with compression.
MAPPED, TYPES = {1, 9}, {1, 2, 3, 9, 10, 11}
MAP_DEPTHS, DEPTHS = {15, 16, 24, 32}, {8, 15, 16, 24, 32}


def detect(data: Data) -> str:
    header = data[:HEADER_BYTES]
    if len(header) < HEADER_BYTES or len(data) <= HEADER_BYTES:
        return ""
    _, mapped, kind, first, length, map_depth, _, _, width, height, depth, descriptor = (
        struct.unpack("<BBBHHBHHHHBB", header)
    )
    if kind not in TYPES or depth not in DEPTHS or not width or not height or descriptor & 0xC0:
        return ""
    if mapped not in {0, 1} or (kind in MAPPED) is not (mapped == 1):
        return ""
    if mapped:
        plausible = map_depth in MAP_DEPTHS and 0 < length <= 256 and first < 256
    else:
        plausible = not (first or length or map_depth)
    return "image/x-tga" if plausible and descriptor & 0x0F in {0, 1, 8} else ""
