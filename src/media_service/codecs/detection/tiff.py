"""Detects TIFF and BigTIFF files, and the camera RAW files that have the structure of TIFF."""

import struct
from collections.abc import Mapping

from media_service.codecs.detection.data import Data

TIFF = "image/tiff"
ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
BIG = {b"II+\0", b"MM\0+"}
# Formats that differ from TIFF in the first bytes.
OTHERS = {
    b"IIRO": "image/x-olympus-orf",
    b"IIRS": "image/x-olympus-orf",
    b"MMOR": "image/x-olympus-orf",
    b"IIU\0": "image/x-panasonic-rw2",
    b"II\xbc\1": "image/vnd.ms-photo",
}
NEW_SUBFILE_TYPE, MAKE, SUB_IFDS, DNG_VERSION = 254, 271, 330, 50706
REDUCED = 1
MAKERS = {
    b"NIKON": "image/x-nikon-nef",
    b"SONY": "image/x-sony-arw",
    b"PENTAX": "image/x-pentax-pef",
    b"RICOH": "image/x-pentax-pef",
    b"SAMSUNG": "image/x-samsung-srw",
    b"EASTMAN": "image/x-kodak-dcr",
    b"Kodak": "image/x-kodak-dcr",
    b"EPSON": "image/x-epson-erf",
    b"Hasselblad": "image/x-hasselblad-3fr",
    b"Phase One": "image/x-phaseone-iiq",
    b"Leaf": "image/x-leaf-mos",
}
# The first directory of a RAW file has fewer than a hundred entries.
MAX_ENTRIES = 200


def detect(data: Data) -> str:
    mark = data[:4]
    if mark in ORDERS:
        return "image/x-canon-cr2" if data[8:10] == b"CR" else by_directory(data, ORDERS[mark])
    return OTHERS.get(mark, TIFF if mark in BIG else "")


def by_directory(data: Data, order: str) -> str:
    entries = first_directory(data, order)
    if DNG_VERSION in entries:
        return "image/x-adobe-dng"
    # The first image of a RAW file is a thumbnail, and the sensor's is in a directory below it.
    if SUB_IFDS in entries and entries.get(NEW_SUBFILE_TYPE, 0) & REDUCED and MAKE in entries:
        make = data[entries[MAKE] : entries[MAKE] + 16]
        return next((name for maker, name in MAKERS.items() if make.startswith(maker)), TIFF)
    return TIFF


def first_directory(data: Data, order: str) -> Mapping[int, int]:
    """Returns the values or offsets of the first directory, by tag. It is empty if the directory is
    beyond the known bytes."""
    entry = struct.Struct(f"{order}HHII")
    header = data[4:8]
    if len(header) < 4:
        return {}
    (start,) = struct.unpack(f"{order}I", header)
    if len(length := data[start : start + 2]) < 2:
        return {}
    (count,) = struct.unpack(f"{order}H", length)
    block = data[start + 2 : start + 2 + min(count, MAX_ENTRIES) * entry.size]
    whole = block[: len(block) // entry.size * entry.size]
    found: dict[int, int] = {}
    for tag, kind, _, value in entry.iter_unpack(whole):
        found.setdefault(tag, value >> 16 if order == ">" and kind == 3 else value)
    return found
