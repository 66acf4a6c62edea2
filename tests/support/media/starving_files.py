"""Small files that cost far more than their size suggests."""

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pyvips

from media_service.codecs.limits import MAX_ELEMENTS

FOLDER = Path(__file__).parent / "starving"
# The id, type, count and value of each entry of a TIFF page: one gray pixel at offset 8.
TIFF_PAGE = (
    *((256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
    *((273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 1)),
)


def tiff(pages: int) -> bytes:
    """A TIFF of many pages of one pixel."""
    entries = b"".join(struct.pack("<HHII", *entry) for entry in TIFF_PAGE)
    size = 2 + len(entries) + 4
    begin = 12
    parts = [struct.pack("<2sHII", b"II", 42, begin, 0)]
    for number in range(pages):
        following = begin + (number + 1) * size if number < pages - 1 else 0
        parts.append(struct.pack("<H", len(TIFF_PAGE)) + entries + struct.pack("<I", following))
    return b"".join(parts)


def webp(frames: int) -> bytes:
    """An animated WebP of many frames of one pixel."""
    two = pyvips.Image.arrayjoin([pyvips.Image.black(1, 1, bands=3) + n for n in (0, 99)], across=1)
    two = two.cast("uchar").copy(interpretation="srgb")
    two.set_type(pyvips.GValue.gint_type, "page-height", 1)
    animation = bytes(two.webpsave_buffer(lossless=True))
    first = animation.index(b"ANMF")
    size = 8 + struct.unpack_from("<I", animation, first + 4)[0]
    body = animation[8:first] + animation[first : first + size] * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif(frames: int) -> bytes:
    """A GIF of many frames of one pixel."""
    begin = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\4\0\1\0\0\0" + b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return begin + frame * frames + b";"


def svg(elements: int) -> bytes:
    path = b'<path d="M0 0h9v9"/>'
    return (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100">'
        + path * (elements - 1)
        + b"</svg>"
    )


def nested_svg(depth: int) -> bytes:
    """An SVG whose elements are nested in each other."""
    return (
        b'<svg xmlns="http://www.w3.org/2000/svg">' + b"<g>" * depth + b"</g>" * depth + b"</svg>"
    )


def layered_svg(depth: int) -> bytes:
    """An SVG whose layers are nested in each other, by references."""
    layers = "".join(
        f'<g id="a{number}" opacity="0.5"><use href="#a{number - 1}" opacity="0.5"/></g>'
        for number in range(1, depth)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
        f'<defs><path id="a0" d="M0 0h9v9"/>{layers}</defs><use href="#a{depth - 1}"/></svg>'
    ).encode()


def tall_png(rows: int) -> bytes:
    """A gray PNG, one pixel wide."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, rows, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(2 * rows), 9))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def wav(rate: int, samples: int) -> bytes:
    """A WAV of one channel and 16 bits."""
    size = 2 * samples
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    data = b"data" + struct.pack("<I", size) + bytes(size)
    return b"RIFF" + struct.pack("<I", 4 + len(header) + len(data)) + b"WAVE" + header + data


@dataclass(frozen=True, slots=True)
class StarvingFile:
    """A file, and how it ends: the reason of the media's error, or that of the job of a preset.
    Both are empty if it succeeds."""

    name: str
    content_type: str
    data: bytes = field(repr=False)
    media: str = ""
    preset: str = ""


def refused_early(size: int = 100_000) -> list[StarvingFile]:
    """Files that end before they cost anything. `size` is their number of pages or frames."""
    inspection, processing = "INSPECTION_LIMIT_EXCEEDED", "PROCESSING_LIMIT_EXCEEDED"
    return [
        StarvingFile("pages.tif", "image/tiff", tiff(size), inspection),
        StarvingFile("frames.webp", "image/webp", webp(size), inspection),
        StarvingFile("frames.gif", "image/gif", gif(10 * size), inspection),
        StarvingFile("elements.svg", "image/svg+xml", svg(MAX_ELEMENTS + size), inspection),
        StarvingFile("slow.wav", "audio/wav", wav(1, 5 * size), "", processing),
    ]


def limited() -> list[StarvingFile]:
    """Files that end at a limit of their class of work."""
    processing = "PROCESSING_LIMIT_EXCEEDED"
    return [
        stored("pdf_func.pdf", "application/pdf", "", processing),
        stored("pdf_form_nest.pdf", "application/pdf", "", processing),
        stored("svg_filter.svg", "image/svg+xml", "INSPECTION_LIMIT_EXCEEDED"),
        stored("svg_use_bomb.svg", "image/svg+xml", "INSPECTION_LIMIT_EXCEEDED"),
    ]


def stored(name: str, content_type: str, media: str = "", preset: str = "") -> StarvingFile:
    return StarvingFile(name, content_type, (FOLDER / name).read_bytes(), media, preset)


def slow() -> list[StarvingFile]:
    """Files that take long, and succeed."""
    return [
        stored("video_1fph.mp4", "video/mp4"),
        StarvingFile("tall.png", "image/png", tall_png(10_000_000)),
    ]
