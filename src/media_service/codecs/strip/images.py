"""JPEG, PNG, WebP and GIF: keeps the parts that the looks depend on, drops all others, and what
follows the end of the image."""

import re
import struct
import zlib
from collections.abc import Sequence

from media_service.codecs.strip.orientation import PREFIX, UPRIGHT, block_of, orientation_in
from media_service.codecs.strip.pieces import NotStrippable, Piece, Source, keep, new

CHUNK = 1 << 20
MAX_EXIF = 1 << 20

# JPEG: the next marker among coded data, in which an escaped FF and restarts are none.
MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
START, END, SCAN = 0xD8, 0xD9, 0xDA
# The markers of tables, frames and scans.
IMAGE_MARKERS = {*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF}
# Application segments that say how to show the pixels: JFIF, the color profile, Adobe's transform.
SHOWING = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
EXIF_SEGMENT = 0xE1

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = {
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT"),
    *(b"bKGD", b"pHYs", b"hIST", b"acTL", b"fcTL", b"fdAT", b"cICP", b"mDCV", b"cLLI"),
}
WEBP_CHUNKS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
WEBP_EXIF, WEBP_XMP = 0x08, 0x04
GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def jpeg(source: Source) -> Sequence[Piece]:
    if source.at(0, 2) != b"\xff\xd8":
        raise NotStrippable
    kept, orientation, at = [], UPRIGHT, 2
    while True:
        at, marker = next_marker(source, at)
        if marker == END:
            break
        (length,) = struct.unpack(">H", source.at(at + 2, 2))
        end = at + 2 + length
        body = source.text(at + 4, max(0, min(length - 2, MAX_EXIF)))
        if marker == EXIF_SEGMENT and body.startswith(PREFIX) and orientation == UPRIGHT:
            orientation = orientation_in(body)
        if marker == SCAN:
            begin, (end, _) = at, next_marker(source, end, coded=True)
            kept.append(keep(begin, end))
        elif marker in IMAGE_MARKERS or body.startswith(SHOWING.get(marker, b"\xff")):
            kept.append(keep(at, end))
        at = end
    turned = []
    if orientation != UPRIGHT:
        exif = PREFIX + block_of(orientation)
        turned = [new(b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif)]
    return [keep(0, 2), *turned, *kept, new(b"\xff\xd9")]


def next_marker(source: Source, at: int, *, coded: bool = False) -> tuple[int, int]:
    """The offset of a marker, and the marker. `coded`: among coded data."""
    while at < source.size:
        data = source.text(at, CHUNK if coded else 1 << 10)
        found = MARKER.search(data)
        if found:
            if not coded and found.start() > 0:
                raise NotStrippable
            return at + found.end() - 2, found[1][0]
        if not coded or len(data) < 2:
            break
        at += len(data) - 1
    raise NotStrippable


def png(source: Source) -> Sequence[Piece]:
    if source.at(0, 8) != PNG_START:
        raise NotStrippable
    kept, orientation, at, kind = [], UPRIGHT, 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", source.at(at, 8))
        end = at + 12 + length
        if end > source.size:
            raise NotStrippable
        if kind == b"eXIf":
            orientation = orientation_in(source.at(at + 8, min(length, MAX_EXIF)))
        if kind in PNG_CHUNKS:
            kept.append(keep(at, end))
        elif not kind[0] & 0x20:  # without it, the image cannot be shown
            raise NotStrippable
        at = end
    turned = []
    if orientation != UPRIGHT:
        named = b"eXIf" + block_of(orientation)
        check = struct.pack(">I", zlib.crc32(named))
        turned = [new(struct.pack(">I", len(named) - 4) + named + check)]
    return [keep(0, 8), kept[0], *turned, *kept[1:]]


def webp(source: Source) -> Sequence[Piece]:
    riff, size, form = struct.unpack("<4sI4s", source.at(0, 12))
    if (riff, form) != (b"RIFF", b"WEBP"):
        raise NotStrippable
    kept: list[Piece] = []
    orientation, flags_at = UPRIGHT, None
    total, at = 4, 12
    while at + 8 <= min(source.size, size + 8):
        kind, length = struct.unpack("<4sI", source.at(at, 8))
        end = at + 8 + length + length % 2
        if at + 8 + length > source.size:
            raise NotStrippable
        if kind == b"EXIF":
            orientation = orientation_in(source.at(at + 8, min(length, MAX_EXIF)))
        elif kind == b"VP8X":
            flags_at = at + 8
            total += end - at
        elif kind in WEBP_CHUNKS:
            kept.append(keep(at, min(end, source.size)))
            total += end - at
            if end > source.size:
                kept.append(new(b"\0"))
        at = end
    head: list[Piece] = []
    if flags_at is not None:
        flags = source.at(flags_at, 1)[0] & ~(WEBP_EXIF | WEBP_XMP)
        if orientation != UPRIGHT:
            block = block_of(orientation)
            kept.append(new(b"EXIF" + struct.pack("<I", len(block)) + block))
            total += 8 + len(block)
            flags |= WEBP_EXIF
        head = [
            keep(flags_at - 8, flags_at),
            new(bytes([flags])),
            keep(flags_at + 1, flags_at + 10),
        ]
    return [new(struct.pack("<4sI4s", b"RIFF", total, b"WEBP")), *head, *kept]


def gif(source: Source) -> Sequence[Piece]:
    head = source.at(0, 13)
    if head[:4] != b"GIF8":
        raise NotStrippable
    at = 13 + color_bytes(head[10])
    kept = [keep(0, at)]
    while True:
        kind = source.at(at, 1)
        if kind == b";":
            return [*kept, new(b";")]
        begin = at
        if kind == b",":
            flags = source.at(at + 9, 1)[0]
            at = after_blocks(source, at + 10 + color_bytes(flags) + 1)
            kept.append(keep(begin, at))
        elif kind == b"!":
            label, name = source.at(at + 1, 1)[0], source.text(at + 3, 11)
            at = after_blocks(source, at + 2)
            if label == 0xF9 or (label == 0xFF and name in GIF_LOOPS):
                kept.append(keep(begin, at))
        else:
            raise NotStrippable


def color_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def after_blocks(source: Source, at: int) -> int:
    """The end of data blocks."""
    while length := source.at(at, 1)[0]:
        at += length + 1
    return at + 1
