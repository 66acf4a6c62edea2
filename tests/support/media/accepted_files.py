"""Creates a small file of each content type that the service accepts by default."""

import gzip
import importlib
import io
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tests.support.media.format_files import ffmpeg, heic, pdf
from tests.support.media.raw_files import CAMERAS, raw_file

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48">'
    b'<rect width="64" height="48" fill="rgb(220,30,30)"/></svg>'
)
SOUND = ("-f", "lavfi", "-i", "sine=d=0.2")
MOVING = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.2")
# Content type: the extension and the arguments of ffmpeg.
AUDIO: Mapping[str, tuple[str, ...]] = {
    "audio/3gpp": ("3gp", "-c:a", "aac"),
    "audio/3gpp2": ("3g2", "-c:a", "aac"),
    "audio/aac": ("aac",),
    "audio/ac3": ("ac3",),
    "audio/aiff": ("aiff",),
    "audio/amr": ("amr", "-ar", "8000", "-ac", "1", "-b:a", "12.2k"),
    "audio/basic": ("au",),
    "audio/eac3": ("eac3",),
    "audio/flac": ("flac",),
    "audio/mp4": ("m4a",),
    "audio/mpeg": ("mp3",),
    "audio/ogg": ("ogg", "-c:a", "libopus"),
    "audio/quicktime": ("mov",),
    "audio/vnd.dts": ("dts", "-strict", "-2"),
    "audio/wav": ("wav",),
    "audio/webm": ("webm",),
    "audio/x-caf": ("caf",),
    "audio/x-matroska": ("mka",),
    "audio/x-ms-wma": ("wma",),
    "audio/x-tta": ("tta",),
    "audio/x-voc": ("voc",),
    "audio/x-w64": ("w64",),
    "audio/x-wavpack": ("wv",),
}
VIDEO: Mapping[str, tuple[str, ...]] = {
    "application/mxf": ("mxf", "-c:v", "mpeg2video"),
    "application/vnd.rn-realmedia": ("rm", "-c:v", "rv20"),
    "video/3gpp": ("3gp", "-c:v", "libx264"),
    "video/3gpp2": ("3g2", "-c:v", "libx264"),
    "video/dv": ("dv", "-s", "720x576", "-pix_fmt", "yuv420p"),
    "video/mj2": ("mov", "-c:v", "jpeg2000", "-brand", "mjp2"),
    "video/mp2t": ("m2ts",),
    "video/mp4": ("mp4",),
    "video/mpeg": ("mpg",),
    "video/mpv": ("m2v",),
    "video/ogg": ("ogv", "-c:v", "libtheora"),
    "video/quicktime": ("mov",),
    "video/vnd.avi": ("avi",),
    "video/webm": ("webm", "-c:v", "libvpx"),
    "video/x-flv": ("flv",),
    "video/x-ivf": ("ivf", "-c:v", "libvpx"),
    "video/x-matroska": ("mkv",),
    "video/x-ms-wmv": ("wmv",),
    "video/x-yuv4mpeg": ("y4m",),
}
# Content type: Pillow's format and options.
PILLOW: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "image/avif": ("AVIF", {}),
    "image/bmp": ("BMP", {}),
    "image/gif": ("GIF", {}),
    "image/icns": ("ICNS", {"sizes": [(16, 16, 1)]}),
    "image/j2c": ("JPEG2000", {"no_jp2": True}),
    "image/jp2": ("JPEG2000", {}),
    "image/jpeg": ("JPEG", {}),
    "image/jxl": ("JXL", {}),
    "image/png": ("PNG", {}),
    "image/qoi": ("QOI", {}),
    "image/sgi": ("SGI", {}),
    "image/tiff": ("TIFF", {}),
    "image/vnd-ms.dds": ("DDS", {}),
    "image/vnd.microsoft.icon": ("ICO", {}),
    "image/vnd.zbrush.pcx": ("PCX", {}),
    "image/webp": ("WEBP", {}),
    "image/x-portable-anymap": ("PPM", {}),
    "image/x-tga": ("TGA", {}),
}
RED = (220, 30, 30)


def accepted_files(folder: Path) -> dict[str, bytes]:
    """A file of each content type. Images are red, and most are of 64 × 48 pixels."""
    importlib.import_module("pillow_jxl")
    made = {name: by_pillow(*how) for name, how in PILLOW.items()}
    made |= {name: raw_file(name) for name in CAMERAS}
    made |= {name: make() for name, make in OTHERS.items()}
    for name, (extension, *options) in {**AUDIO, **VIDEO}.items():
        source = SOUND if name in AUDIO else MOVING
        path = folder / f"{name.replace('/', '-')}.{extension}"
        made[name] = ffmpeg(path, *source, *options).read_bytes()
    made["application/pdf"] = pdf(folder / "a.pdf").read_bytes()
    made["image/heic"] = heic(folder / "a.heic").read_bytes()
    return made


def by_pillow(format_name: str, options: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), RED).save(out, format_name, **options)
    return out.getvalue()


def jpx() -> bytes:
    return by_pillow("JPEG2000", {}).replace(b"ftypjp2 ", b"ftypjpx ", 1)


def cursor() -> bytes:
    icon = by_pillow("ICO", {"bitmap_format": "bmp"})
    return icon[:2] + b"\2" + icon[3:]


def literal(data: bytes) -> bytes:
    """Packs up to 128 bytes, without compression."""
    return bytes([len(data) - 1]) + data if data else b""


def photoshop(
    mode: int = 3,
    depth: int = 8,
    *,
    large: bool = False,
    values: Sequence[float] = RED,
    before: bytes = bytes(4),
    layers: int = 0,
    packed: bool = True,
) -> bytes:
    """A flattened image of 64 × 48 pixels of one color. `before` is the palette, with its length.
    A negative number of `layers` means that the last channel is transparency."""
    version, wide = (2, "Q") if large else (1, "I")
    header = struct.pack(">4sH6xHIIHH", b"8BPS", version, len(values), 48, 64, depth, mode)
    marks = b""
    if layers:
        marks = struct.pack(f">{wide}h", 2, layers)
    code, count = {1: ("B", 8), 8: ("B", 64), 16: ("H", 64), 32: ("f", 64)}[depth]
    rows = [struct.pack(f">{count}{code}", *[value] * count) for value in values]
    if packed:
        rows = [b"".join(map(literal, (row[:128], row[128:]))) for row in rows]
    planes = struct.pack(">H", int(packed))
    if packed:
        size = "I" if large else "H"
        planes += b"".join(struct.pack(f">48{size}", *[len(row)] * 48) for row in rows)
    planes += b"".join(row * 48 for row in rows)
    return header + before + bytes(4) + struct.pack(f">{wide}", len(marks)) + marks + planes


def linear(extension: str, **options: str) -> bytes:
    """An image of linear light, by FFmpeg."""
    out = io.BytesIO()
    with av.open(out, "w", format="image2pipe") as container:
        stream: Any = container.add_stream(
            extension, rate=1, width=64, height=48, pix_fmt="gbrpf32le"
        )
        stream.options = options
        light = np.zeros((48, 64, 3), np.float32) + np.array([0.7, 0.01, 0.01], np.float32)
        frame = av.VideoFrame.from_ndarray(light, format="gbrpf32le")
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return out.getvalue()


OTHERS: Mapping[str, Callable[[], bytes]] = {
    "audio/amr-wb": lambda: b"#!AMR-WB\n" + (b"\x04" + bytes(17)) * 20,
    "image/jpx": jpx,
    "image/svg+xml": lambda: SVG,
    "image/svg+xml-compressed": lambda: gzip.compress(SVG),
    "image/vnd.adobe.photoshop": photoshop,
    "image/x-psb": lambda: photoshop(large=True),
    "image/vnd.radiance": lambda: linear("hdr"),
    "image/x-exr": lambda: linear("exr"),
    "image/x-win-cursor": cursor,
}
