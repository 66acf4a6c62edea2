"""The orientation of an image, which is the only EXIF tag that its looks depend on."""

import struct

PREFIX = b"Exif\0\0"
TAG, SHORT = 0x0112, 3
UPRIGHT = 1


def orientation_in(block: bytes) -> int:
    """The orientation in an EXIF block, with or without its prefix: 1 to 8."""
    block = block.removeprefix(PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    try:
        if order is None:
            return UPRIGHT
        (at,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, entry)
            if (tag, kind) == (TAG, SHORT):
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def block_of(orientation: int) -> bytes:
    """An EXIF block, without its prefix, that has only the orientation."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, TAG, SHORT, 1, orientation, 0, 0)
