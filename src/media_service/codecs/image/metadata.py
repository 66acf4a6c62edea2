"""Filters EXIF metadata: keeps tags about the image, its artist and the model of the camera, but no
positions, thumbnails, maker notes, and nothing that identifies the owner or the camera.

The block is parsed and written here, because libvips rewrites text in ASCII.
"""

import struct
from collections.abc import Container, Iterator, Mapping
from typing import TypeAlias

import pyvips

from media_service.codecs.image.geometry import Image

# The type, the count, and the bytes of all values.
Value: TypeAlias = tuple[int, int, bytes]

PREFIX = b"Exif\0\0"
ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
# The size of one value, by type.
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
SHORT, LONG = 3, 4
# The capacity of a JPEG segment, minus the bytes that libvips adds.
MAX_BYTES = 60_000

# Description, make, model, software, date, artist, rating, copyright; Windows' title, keywords and
# subject.
IMAGE_TAGS = {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x4746, 0x8298}
IMAGE_TAGS |= {0x9C9B, 0x9C9E, 0x9C9F}
CAMERA_IFD = 0x8769
# Maker note, pixel sizes, related sound file, interoperability directory, subject location.
HIDDEN = {0x927C, 0xA002, 0xA003, 0xA004, 0xA005, 0xA214}
# Comment of the user, id of the image, owner, serial numbers of the camera and the lens.
IDENTIFYING = {0x9286, 0xA420, 0xA430, 0xA431, 0xA435}
CAMERA_TAGS = set(range(0x829A, 0xA500)) - HIDDEN - IDENTIFYING - {CAMERA_IFD, 0x8825}
COLOR_SPACE, SRGB = 0xA001, 1


def with_exif(image: Image, block: bytes) -> Image:
    """Returns the image with only those tags of `block` that may be kept."""
    image = image.copy()
    for field in image.get_fields():
        if field.startswith("exif-") or field == "jpeg-thumbnail-data":
            image.remove(field)
    if kept := filtered(block):
        image.set_type(pyvips.GValue.blob_type, "exif-data", kept)
    return image


def filtered(block: bytes) -> bytes:
    """Returns the tags of a block that may be kept, or empty bytes if there are none."""
    block = block.removeprefix(PREFIX)
    order = ORDERS.get(block[:4])
    if order is None:
        return b""
    image_values = dict(values(block, order, number(block, order, 4), {*IMAGE_TAGS, CAMERA_IFD}))
    kind, count, pointer = image_values.pop(CAMERA_IFD, (0, 0, b""))
    at = number(pointer, order, 0) if (kind, count) == (LONG, 1) else 0
    camera_values = dict(values(block, order, at, CAMERA_TAGS)) if at else {}
    if COLOR_SPACE in camera_values:
        camera_values[COLOR_SPACE] = (SHORT, 1, struct.pack(f"{order}H", SRGB))
    return (
        PREFIX + block[:4] + write_directories(order, image_values, camera_values)
        if image_values or camera_values
        else b""
    )


def values(
    block: bytes, order: str, at: int, wanted: Container[int]
) -> Iterator[tuple[int, Value]]:
    """Returns the wanted tags of a directory. Skips values outside the block or above the size
    limit."""
    room = MAX_BYTES // 2
    for entry in range(at + 2, at + 2 + 12 * number(block, order, at, "H"), 12):
        if entry + 12 > len(block):
            return
        tag, kind, count = struct.unpack_from(f"{order}HHI", block, entry)
        size = TYPE_BYTES.get(kind, 0) * count
        start = entry + 8 if size <= 4 else number(block, order, entry + 8)
        if tag in wanted and 0 < size <= room and start + size <= len(block):
            room -= size + 12
            yield tag, (kind, count, block[start : start + size])


def number(block: bytes, order: str, at: int, form: str = "I") -> int:
    """Returns the number at an offset, or 0 if the block ends before it."""
    if at + struct.calcsize(form) > len(block):
        return 0
    found: int = struct.unpack_from(order + form, block, at)[0]
    return found


def write_directories(
    order: str, image_values: Mapping[int, Value], camera_values: Mapping[int, Value]
) -> bytes:
    """Returns both directories, which follow the first four bytes."""
    begin = 8

    def both(second: int) -> tuple[bytes, bytes]:
        pointer = (LONG, 1, struct.pack(f"{order}I", second))
        first = directory(order, {**image_values, CAMERA_IFD: pointer}, begin)
        return first, directory(order, camera_values, second)

    second = begin + len(both(0)[0])
    return struct.pack(f"{order}I", begin) + b"".join(both(second))


def directory(order: str, tags: Mapping[int, Value], at: int) -> bytes:
    """Returns a directory followed by its values. `at` is its offset."""
    head, tail = struct.pack(f"{order}H", len(tags)), b""
    values_at = at + 2 + 12 * len(tags) + 4
    for tag, (kind, count, raw) in sorted(tags.items()):
        field = raw.ljust(4, b"\0")
        if len(raw) > 4:
            field = struct.pack(f"{order}I", values_at + len(tail))
            tail += raw + b"\0" * (len(raw) % 2)
        head += struct.pack(f"{order}HHI", tag, kind, count) + field
    return head + bytes(4) + tail
