"""What stays of a picture's metadata: EXIF tags of the picture and of the camera, never those of
places and thumbnails, nor what a maker may have written in a form of its own.

The block is read and written here: libvips writes texts anew, in ASCII.
"""

import struct
from collections.abc import Container, Iterator, Mapping
from typing import TypeAlias

import pyvips

from media_service.codecs.image.geometry import Image

# Its type, how many there are of it, and the bytes of all of them.
Value: TypeAlias = tuple[int, int, bytes]

PREFIX = b"Exif\0\0"
ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
# Of one value, by its type.
BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
SHORT, LONG = 3, 4
# What a JPEG has room for, less what libvips adds.
MOST = 60_000

# Description, make, model, software, date, artist, computer, rating, copyright; Windows' own.
PICTURE = {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x8298}
PICTURE |= set(range(0x9C9B, 0x9CA0))
SETTINGS = 0x8769
# MakerNote, what the picture was in pixels, a sound, another directory, where the subject is.
HIDDEN = {0x927C, 0xA002, 0xA003, 0xA004, 0xA005, 0xA214}
CAMERA = set(range(0x829A, 0xA500)) - HIDDEN - {SETTINGS, 0x8825}
COLOR_SPACE, SRGB = 0xA001, 1


def with_exif(image: Image, block: bytes) -> Image:
    """With those tags of a block that may be kept, and no others."""
    image = image.copy()
    for field in image.get_fields():
        if field.startswith("exif-") or field == "jpeg-thumbnail-data":
            image.remove(field)
    if kept := filtered(block):
        image.set_type(pyvips.GValue.blob_type, "exif-data", kept)
    return image


def filtered(block: bytes) -> bytes:
    """Empty, if nothing stays."""
    block = block.removeprefix(PREFIX)
    order = ORDERS.get(block[:4])
    if order is None:
        return b""
    pictures = dict(values(block, order, number(block, order, 4), {*PICTURE, SETTINGS}))
    kind, count, place = pictures.pop(SETTINGS, (0, 0, b""))
    at = number(place, order, 0) if (kind, count) == (LONG, 1) else 0
    camera = dict(values(block, order, at, CAMERA)) if at else {}
    if COLOR_SPACE in camera:
        camera[COLOR_SPACE] = (SHORT, 1, struct.pack(f"{order}H", SRGB))
    return PREFIX + block[:4] + written(order, pictures, camera) if pictures or camera else b""


def values(
    block: bytes, order: str, at: int, wanted: Container[int]
) -> Iterator[tuple[int, Value]]:
    """The tags of a directory. What leads out of the block, or is too much, is left out."""
    room = MOST // 2
    for entry in range(at + 2, at + 2 + 12 * number(block, order, at, "H"), 12):
        if entry + 12 > len(block):
            return
        tag, kind, count = struct.unpack_from(f"{order}HHI", block, entry)
        size = BYTES.get(kind, 0) * count
        start = entry + 8 if size <= 4 else number(block, order, entry + 8)
        if tag in wanted and 0 < size <= room and start + size <= len(block):
            room -= size + 12
            yield tag, (kind, count, block[start : start + size])


def number(block: bytes, order: str, at: int, form: str = "I") -> int:
    """0 where the block ends before."""
    if at + struct.calcsize(form) > len(block):
        return 0
    found: int = struct.unpack_from(order + form, block, at)[0]
    return found


def written(order: str, pictures: Mapping[int, Value], camera: Mapping[int, Value]) -> bytes:
    """Behind the first four bytes."""
    begin = 8

    def both(second: int) -> tuple[bytes, bytes]:
        pointer = (LONG, 1, struct.pack(f"{order}I", second))
        first = directory(order, {**pictures, SETTINGS: pointer}, begin)
        return first, directory(order, camera, second)

    second = begin + len(both(0)[0])
    return struct.pack(f"{order}I", begin) + b"".join(both(second))


def directory(order: str, tags: Mapping[int, Value], at: int) -> bytes:
    """With its values behind it; `at`: where it will be."""
    head, tail = struct.pack(f"{order}H", len(tags)), b""
    behind = at + 2 + 12 * len(tags) + 4
    for tag, (kind, count, raw) in sorted(tags.items()):
        place = raw.ljust(4, b"\0")
        if len(raw) > 4:
            place = struct.pack(f"{order}I", behind + len(tail))
            tail += raw + b"\0" * (len(raw) % 2)
        head += struct.pack(f"{order}HHI", tag, kind, count) + place
    return head + bytes(4) + tail
