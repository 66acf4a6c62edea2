"""Decodes the flattened image of a Photoshop file (PSD, PSB) of any mode and depth.

Programs that edit such a file store its layers, and behind them the image that they make together.
Layers are not read.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import pyvips

from media_service.codecs.image.linear_light import from_linear
from media_service.codecs.limits import check_pixels
from media_service.codecs.sandbox.exit_cause import corrupt

BITMAP, GRAYSCALE, INDEXED, RGB, CMYK, MULTICHANNEL, DUOTONE, LAB = 0, 1, 2, 3, 4, 7, 8, 9
# The color channels of each mode; transparency and selections follow. A duotone is stored in gray.
COLORS = {BITMAP: 1, GRAYSCALE: 1, INDEXED: 1, RGB: 3, CMYK: 4, MULTICHANNEL: 1, DUOTONE: 1, LAB: 3}
LARGE = 2  # the version of PSB, whose lengths have more bytes
TYPES = {1: "u1", 8: "u1", 16: ">u2", 32: ">f4"}
UNCOMPRESSED, PACK_BITS = 0, 1
PROFILE, VERSION_INFO = 1039, 1057  # resources
PALETTE_BYTES = 3 * 256
MAX_RESOURCES = 10_000


@dataclass(frozen=True, slots=True)
class Header:
    large: bool
    channels: int
    width: int
    height: int
    depth: int
    mode: int


def decode(file: Any, max_pixels: int) -> Any:
    """Returns a libvips image in memory, or of linear light if its channels have 32 bits. Raises
    InvalidArgument (MEDIA_CORRUPT, PIXEL_LIMIT_EXCEEDED), and other errors for damaged files."""
    header = read_header(file)
    check_pixels(header.width, header.height, max_pixels)
    palette = file.read(number(file, 4))
    profile, has_image = read_resources(file)
    if not has_image:
        raise corrupt(
            "The Photoshop file has no flattened image. Save it with maximized compatibility."
        )
    transparent = read_layers(file, header)
    colors = COLORS[header.mode]
    has_alpha = transparent and header.channels > colors
    planes = read_planes(file, header, colors + has_alpha)
    image = as_image(header, planes, palette, has_alpha=has_alpha)
    if profile and header.mode in {GRAYSCALE, DUOTONE, RGB, CMYK} and header.depth < 32:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def read_header(file: Any) -> Header:
    mark, version = file.read(4), number(file, 2)
    file.read(6)
    channels, height, width = number(file, 2), number(file, 4), number(file, 4)
    depth, mode = number(file, 2), number(file, 2)
    if mark != b"8BPS" or version not in {1, LARGE} or not width or not height:
        raise corrupt("The file has no header of Photoshop.")
    if mode not in COLORS or depth not in TYPES or (depth == 1) != (mode == BITMAP):
        raise corrupt(f"Photoshop files of mode {mode} with {depth} bits cannot be read.")
    if channels < COLORS[mode]:
        raise corrupt(f"The image has only {channels} channels.")
    return Header(version == LARGE, channels, width, height, depth, mode)


def number(file: Any, size: int) -> int:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return int.from_bytes(data, "big")


def read_resources(file: Any) -> tuple[bytes, bool]:
    """Returns the color profile, and whether the file has a flattened image."""
    end = number(file, 4) + file.tell()
    profile, has_image = b"", True
    for _ in range(MAX_RESOURCES):
        if file.tell() + 12 > end:
            break
        file.read(4)
        kind = number(file, 2)
        file.read(number(file, 1) | 1)  # a name, padded
        size = number(file, 4)
        start = file.tell()
        if kind == PROFILE:
            profile = file.read(min(size, end - start))
        elif kind == VERSION_INFO and size >= 5:
            has_image = file.read(5)[4] != 0
        file.seek(start + size + size % 2)
    file.seek(end)
    return profile, has_image


def read_layers(file: Any, header: Header) -> bool:
    """Skips the layers. Returns whether the flattened image has transparency: the number of layers
    is then negative. With 16 or 32 bits, they are in a block of their own, and so is the mark."""
    width = 8 if header.large else 4
    end = number(file, width) + file.tell()
    transparent = False
    if end > file.tell() + width:
        if number(file, width):
            transparent = number(file, 2) >= 1 << 15
        elif number(file, 4) == 0:
            marks = file.read(min(12, end - file.tell()))
            transparent = marks[:8] in {b"8BIMMt16", b"8BIMMt32", b"8BIMMtrn"}
    file.seek(end)
    return transparent


def read_planes(file: Any, header: Header, count: int) -> Any:
    """Reads the first `count` channels, each as rows of bytes."""
    row = (header.width * header.depth + 7) // 8
    compression = number(file, 2)
    if compression not in {UNCOMPRESSED, PACK_BITS}:
        raise corrupt(f"Photoshop files with compression {compression} cannot be read.")
    planes = np.empty((count, header.height, row), np.uint8)
    if compression == UNCOMPRESSED:
        if file.readinto(planes.data) < planes.size:
            raise EOFError
        return planes
    width = 4 if header.large else 2
    table = file.read(width * header.height * header.channels)
    lengths = np.frombuffer(table, f">u{width}").reshape(header.channels, header.height)
    for plane, size in zip(planes, lengths.sum(axis=1, dtype=np.int64), strict=False):
        data = file.read(int(size))
        unpacked = PIL.Image.frombytes("L", (row, header.height), data, "packbits", "L")
        plane[:] = np.asarray(unpacked)
    return planes


def as_image(header: Header, planes: Any, palette: bytes, *, has_alpha: bool) -> Any:
    if header.mode == BITMAP:
        bits = np.unpackbits(planes, axis=2, count=header.width)
        return in_vips(np.where(bits, np.uint8(0), np.uint8(255)), "b-w")
    values = planes.view(TYPES[header.depth])
    if header.depth == 32:
        return linear_image(header.mode, values)
    if header.mode == INDEXED:
        table = np.frombuffer(palette[:PALETTE_BYTES], np.uint8).reshape(3, 256)
        return in_vips(table[:, values[0]], "srgb")
    if header.mode in {CMYK, LAB}:
        values = values[: COLORS[header.mode]]
        return printed_image(header.mode, values >> 8 if header.depth == 16 else values)
    if has_alpha:
        values = without_matte(values)
    shallow, deep = ("srgb", "rgb16") if len(values) > 2 else ("b-w", "grey16")
    return in_vips(values, deep if header.depth == 16 else shallow)


def printed_image(mode: int, values: Any) -> Any:
    """CMYK and Lab, of which 8 bits are enough. Ink is stored inverted."""
    if mode == CMYK:
        return in_vips(255 - values.astype(np.uint8), "cmyk")
    lightness = values[:1] * np.float32(100 / 255)
    return in_vips(np.concatenate([lightness, values[1:] - np.float32(128)]), "lab")


def linear_image(mode: int, values: Any) -> Any:
    """Channels of 32 bits are linear light. Photoshop has only gray and RGB with them."""
    if mode not in {GRAYSCALE, RGB}:
        raise corrupt(f"Photoshop files of mode {mode} with 32 bits cannot be read.")
    light = np.moveaxis(values[: COLORS[mode]].astype(np.float32), 0, 2)
    return from_linear(np.repeat(light, 3, 2) if mode == GRAYSCALE else light)


def without_matte(values: Any) -> Any:
    """Removes the white that is behind a transparent image."""
    white = float(np.iinfo(values.dtype).max)
    alpha = np.maximum(values[-1:] / np.float32(white), 1 / white)
    colors = white - (white - values[:-1].astype(np.float32)) / alpha
    return np.concatenate([np.clip(np.rint(colors), 0, white).astype(values.dtype), values[-1:]])


def in_vips(planes: Any, interpretation: str) -> Any:
    native = planes.astype(planes.dtype.newbyteorder("="), copy=False)
    pixels = np.ascontiguousarray(np.moveaxis(native, 0, 2))
    height, width, bands = pixels.shape
    formats = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}
    kind = formats[pixels.dtype.name]
    image = pyvips.Image.new_from_memory(pixels.data, width, height, bands, kind)
    return image.copy(interpretation=interpretation)
