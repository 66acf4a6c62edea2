"""Creates camera RAW files: a thumbnail, and below it the mosaic of a sensor."""

import struct
from collections.abc import Sequence
from typing import Any

# The type of a tag's values: their struct format.
FORMATS = {1: "B", 2: "s", 3: "H", 4: "I", 10: "ii"}
Entry = tuple[int, int, Sequence[Any] | bytes]
# Content type: (make, model, first bytes, bits per sample)
CAMERAS = {
    "image/x-adobe-dng": (b"Nobody", b"Camera", b"II*\0", 16),
    "image/x-canon-cr2": (b"Canon", b"Canon EOS 5D", b"II*\0", 16),
    "image/x-epson-erf": (b"EPSON", b"R-D1", b"II*\0", 16),
    "image/x-hasselblad-3fr": (b"Hasselblad", b"H3D", b"II*\0", 16),
    "image/x-kodak-dcr": (b"EASTMAN KODAK", b"DCS Pro 14N", b"II*\0", 16),
    "image/x-nikon-nef": (b"NIKON CORPORATION", b"NIKON D850", b"II*\0", 16),
    "image/x-olympus-orf": (b"OLYMPUS CORPORATION", b"E-M1", b"IIRO", 12),
    "image/x-panasonic-rw2": (b"Panasonic", b"DMC-GH4", b"IIU\0", 16),
    "image/x-pentax-pef": (b"PENTAX", b"PENTAX K10D", b"II*\0", 16),
    "image/x-phaseone-iiq": (b"Phase One", b"P45", b"II*\0", 16),
    "image/x-samsung-srw": (b"SAMSUNG", b"NX500", b"II*\0", 16),
    "image/x-sony-arw": (b"SONY", b"ILCE-7M3", b"II*\0", 16),
}
WIDTH, HEIGHT = 96, 64


def raw_file(content_type: str) -> bytes:
    """A RAW file of 96 × 64 pixels with a thumbnail of 24 × 16."""
    make, model, mark, bits = CAMERAS[content_type]
    mosaic = b"".join(
        struct.pack("<H", 1000 + (x * 40 + y * 20) % 3000)
        for y in range(HEIGHT)
        for x in range(WIDTH)
    )
    thumbnail = bytes([200]) * (24 * 16 * 3)
    cr2 = content_type.endswith("cr2")
    first = 16 if cr2 else 8

    def directories(sensor_at: int, thumbnail_at: int, mosaic_at: int) -> tuple[bytes, bytes]:
        entries: list[Entry] = [
            (254, 4, [1]), (256, 3, [24]), (257, 3, [16]), (258, 3, [8, 8, 8]), (259, 3, [1]),
            (262, 3, [2]), (271, 2, make), (272, 2, model), (273, 4, [thumbnail_at]),
            (274, 3, [1]), (277, 3, [3]), (278, 3, [16]), (279, 4, [len(thumbnail)]),
            (330, 4, [sensor_at]),
        ]  # fmt: skip
        if content_type.endswith("dng"):
            matrix = [(1, 1), (0, 1), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1), (0, 1), (1, 1)]
            entries += [(50706, 1, [1, 4, 0, 0]), (50708, 2, model)]
            entries += [(50721, 10, matrix), (50778, 3, [21])]
        sensor: list[Entry] = [
            (254, 4, [0]), (256, 4, [WIDTH]), (257, 4, [HEIGHT]), (258, 3, [bits]), (259, 3, [1]),
            (262, 3, [32803]), (273, 4, [mosaic_at]), (277, 3, [1]), (278, 4, [HEIGHT]),
            (279, 4, [len(mosaic)]), (33421, 3, [2, 2]), (33422, 1, [0, 1, 1, 2]),
        ]  # fmt: skip
        return directory(entries, first), directory(sensor, sensor_at)

    sizes = [len(each) for each in directories(0, 0, 0)]
    sensor_at = first + sizes[0]
    thumbnail_at = sensor_at + sizes[1]
    both = b"".join(directories(sensor_at, thumbnail_at, thumbnail_at + len(thumbnail)))
    head = mark + struct.pack("<I", first) + (b"CR\2\0" + struct.pack("<I", sensor_at)) * cr2
    return head + both + thumbnail + mosaic + bytes(100_000 if bits == 12 else 0)


def directory(entries: Sequence[Entry], at: int) -> bytes:
    """A directory of a TIFF at this position, followed by its longer values."""
    size = 2 + 12 * len(entries) + 4
    fields, behind = struct.pack("<H", len(entries)), b""
    for tag, kind, values in sorted(entries, key=lambda entry: entry[0]):
        if isinstance(values, bytes):
            data, count = values + b"\0", len(values) + 1
        else:
            packed = (v if isinstance(v, tuple) else (v,) for v in values)
            data = b"".join(struct.pack(f"<{FORMATS[kind]}", *each) for each in packed)
            count = len(values)
        fields += struct.pack("<HHI", tag, kind, count)
        if len(data) <= 4:
            fields += data.ljust(4, b"\0")
        else:
            fields += struct.pack("<I", at + size + len(behind))
            behind += data + bytes(len(data) % 2)
    return fields + bytes(4) + behind
