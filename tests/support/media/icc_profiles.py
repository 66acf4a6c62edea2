"""Small ICC profiles, version 2."""

import struct
from collections.abc import Callable, Mapping

Triple = tuple[float, float, float]

D50: Triple = (0.9642, 1.0, 0.8249)
# The primaries of Adobe RGB (1998), adapted to D50.
WIDE: tuple[Triple, Triple, Triple] = (
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
)
# Points along each axis of a color table.
GRID = 9


def matrix(gamma: float, primaries: tuple[Triple, Triple, Triple] = WIDE) -> bytes:
    """An RGB profile with three primaries and one curve."""
    colorants = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(xyz, primaries), strict=True))
    return profile(
        b"RGB ", b"XYZ ", colorants | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma))
    )


def gray(gamma: float) -> bytes:
    return profile(b"GRAY", b"XYZ ", {b"kTRC": curve(gamma)})


def tables(intents: Mapping[int, Callable[[Triple], Triple]]) -> bytes:
    """An RGB profile with a table for each rendering intent. The functions convert red, green and
    blue from 0 to 1 to Lab."""
    return profile(b"RGB ", b"Lab ", {b"A2B%d" % intent: table(f) for intent, f in intents.items()})


def profile(space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    tags = {b"wtpt": xyz(D50), **tags}
    start = 128 + 4 + 12 * len(tags)
    directory, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        directory += struct.pack(">4sII", name, start + len(body), len(data))
        body += data.ljust(-(-len(data) // 4) * 4, b"\0")
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"", 0x02400000, b"mntr", space, connection
    )
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp").ljust(44, b"\0")
    return (head + xyz(D50)[8:]).ljust(128, b"\0") + directory + body


def xyz(color: Triple) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * 65536) for value in color))


def curve(gamma: float) -> bytes:
    return struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256))


def table(to_lab: Callable[[Triple], Triple]) -> bytes:
    steps = [number / (GRID - 1) for number in range(GRID)]
    colors = [to_lab((red, green, blue)) for red in steps for green in steps for blue in steps]
    identity = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    head = struct.pack(">4sIBBBx", b"mft2", 0, 3, 3, GRID)
    head += struct.pack(">9i2H", *(value << 16 for value in identity), 2, 2)
    line = struct.pack(">6H", *(0, 0xFFFF) * 3)
    encoded = b"".join(struct.pack(">3H", *map(round, encode(*lab))) for lab in colors)
    return head + line + encoded + line


def encode(lightness: float, a: float, b: float) -> Triple:
    """Lab in 16 bits of version 2."""
    return lightness * 652.8, (a + 128) * 256, (b + 128) * 256
