"""Makes small media files of every sort, with libvips and FFmpeg."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pyvips


def picture(width: int = 64, height: int = 48, bands: int = 3) -> Any:
    """Noise, so that its compressed form has bytes to lose everywhere."""
    noise = [pyvips.Image.gaussnoise(width, height, mean=128, sigma=40) for _ in range(bands)]
    image = noise[0].bandjoin(noise[1:]) if bands > 1 else noise[0]
    interpretation = {1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}[bands]
    return image.cast("uchar").copy(interpretation=interpretation)


def with_tags(image: Any, tags: dict[str, str], orientation: int = 1) -> Any:
    """With EXIF tags such as {"ifd0-Model": "X100"}."""
    image = image.copy()
    for name, value in tags.items():
        image.set_type(pyvips.GValue.gstr_type, f"exif-{name}", value)
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image


def animation(path: Path, frames: int = 5) -> Path:
    strip = pyvips.Image.arrayjoin([picture() for _ in range(frames)], across=1)
    strip = strip.copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", 48)
    strip.write_to_file(str(path))
    return path


def film(
    path: Path,
    video: str,
    audio: str,
    *,
    frames: int = 30,
    metadata: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    container: str | None = None,
) -> Path:
    """A film of 128 × 72 at 25 frames per second; either codec may be empty."""
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        output.metadata.update(metadata or {})
        pictures = add_pictures(output, video, aspect) if video else None
        sounds = add_sound(output, audio) if audio else None
        if pictures is not None:
            for number in range(frames):
                frame = av.VideoFrame(128, 72, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([number * 8 % 256]) * plane.buffer_size)
                frame.pts = number
                output.mux(pictures.encode(frame))
            output.mux(pictures.encode(None))
        if sounds is not None:
            size = sounds.codec_context.frame_size or 1024
            for number in range(44100 * frames // 25 // size):
                sound = av.AudioFrame(sounds.codec_context.format.name, "stereo", size)
                for part in sound.planes:
                    part.update(bytes(part.buffer_size))
                sound.sample_rate = sounds.codec_context.sample_rate
                sound.pts = number * size
                output.mux(sounds.encode(sound))
            output.mux(sounds.encode(None))
    return path


def add_pictures(output: Any, codec: str, aspect: Fraction | None) -> Any:
    stream = output.add_stream(codec, rate=25, width=128, height=72, pix_fmt="yuv420p")
    if aspect:
        stream.codec_context.sample_aspect_ratio = aspect
    return stream


def add_sound(output: Any, codec: str) -> Any:
    return output.add_stream(codec, rate=48000 if "opus" in codec else 44100, layout="stereo")


def sound(path: Path, codec: str) -> Path:
    return film(path, "", codec)


def turn(path: Path, clockwise: int) -> Path:
    """Writes a rotation into the header of an MP4's first track, as phones do."""
    matrices = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
    a, b, c, d = (value << 16 for value in matrices[clockwise])
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    struct.pack_into(">5i", data, matrix, a, b, 0, c, d)
    path.write_bytes(data)
    return path


def heic(path: Path) -> Path:
    """One HEVC frame of 128 × 72 as a HEIC picture: the boxes of ISO/IEC 23008-12 by hand."""
    film(path, "libx265", "", frames=1, container="mp4")
    data = path.read_bytes()
    frame = find_box(data, b"mdat")
    properties = box(b"hvcC", find_box(data, b"hvcC"))
    properties += full_box(b"ispe", struct.pack(">II", 128, 72))
    item = full_box(b"infe", struct.pack(">HH4sB", 1, 0, b"hvc1", 0), version=2)

    def meta(offset: int) -> bytes:
        place = struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, offset, len(frame))
        return full_box(
            b"meta",
            full_box(b"hdlr", struct.pack(">I4s12xB", 0, b"pict", 0))
            + full_box(b"pitm", struct.pack(">H", 1))
            + full_box(b"iloc", place)
            + full_box(b"iinf", struct.pack(">H", 1) + item)
            + box(
                b"iprp",
                box(b"ipco", properties)
                + full_box(b"ipma", struct.pack(">IHBBB", 1, 1, 2, 0x81, 0x02)),
            ),
        )

    head = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    offset = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(offset) + box(b"mdat", frame))
    return path


def box(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), name) + payload


def full_box(name: bytes, payload: bytes, version: int = 0) -> bytes:
    return box(name, bytes([version, 0, 0, 0]) + payload)


def find_box(data: bytes, name: bytes) -> bytes:
    at = data.index(name)
    (size,) = struct.unpack_from(">I", data, at - 4)
    return data[at + 4 : at - 4 + size]
