"""Creates small media files of every format with libvips and FFmpeg."""

import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import pyvips

CHAPTERS = """;FFMETADATA1
title=A tale
artist=Nobody
[CHAPTER]
TIMEBASE=1/1000
START=0
END=400
title=One
[CHAPTER]
TIMEBASE=1/1000
START=400
END=1000
title=Zwölf
"""


def make_image(width: int = 64, height: int = 48, bands: int = 3) -> Any:
    """An image of noise, so that truncating its compressed form always loses data."""
    noise = [pyvips.Image.gaussnoise(width, height, mean=128, sigma=40) for _ in range(bands)]
    image = noise[0].bandjoin(noise[1:]) if bands > 1 else noise[0]
    interpretation = {1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}[bands]
    return image.cast("uchar").copy(interpretation=interpretation)


def with_tags(image: Any, tags: dict[str, str], orientation: int = 1) -> Any:
    """The image with EXIF tags such as {"ifd0-Model": "X100"}."""
    image = image.copy()
    for name, value in tags.items():
        image.set_type(pyvips.GValue.gstr_type, f"exif-{name}", value)
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image


def animation(path: Path, frames: int = 5) -> Path:
    strip = pyvips.Image.arrayjoin([make_image() for _ in range(frames)], across=1)
    strip = strip.copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", 48)
    strip.write_to_file(str(path))
    return path


def make_video(
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
    """A video of 128 × 72 at 25 frames per second. Either codec may be empty."""
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        output.metadata.update(metadata or {})
        video_stream = add_video(output, video, aspect) if video else None
        audio_stream = add_audio(output, audio) if audio else None
        if video_stream is not None:
            for number in range(frames):
                frame = av.VideoFrame(128, 72, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([number * 8 % 256]) * plane.buffer_size)
                frame.pts = number
                output.mux(video_stream.encode(frame))
            output.mux(video_stream.encode(None))
        if audio_stream is not None:
            size = audio_stream.codec_context.frame_size or 1024
            for number in range(44100 * frames // 25 // size):
                samples = av.AudioFrame(audio_stream.codec_context.format.name, "stereo", size)
                for part in samples.planes:
                    part.update(bytes(part.buffer_size))
                samples.sample_rate = audio_stream.codec_context.sample_rate
                samples.pts = number * size
                output.mux(audio_stream.encode(samples))
            output.mux(audio_stream.encode(None))
    return path


def add_video(output: Any, codec: str, aspect: Fraction | None) -> Any:
    stream = output.add_stream(codec, rate=25, width=128, height=72, pix_fmt="yuv420p")
    if aspect:
        stream.codec_context.sample_aspect_ratio = aspect
    return stream


def add_audio(output: Any, codec: str) -> Any:
    return output.add_stream(codec, rate=48000 if "opus" in codec else 44100, layout="stereo")


def ffmpeg(path: Path, *arguments: str | Path) -> Path:
    """Runs the ffmpeg command and returns the path of its output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
    subprocess.run([*command, *map(str, arguments), str(path)], check=True)
    return path


def make_moving_video(
    path: Path, *arguments: str, size: str = "128x72", seconds: float = 1
) -> Path:
    """A video of a moving test pattern, without audio."""
    source = f"testsrc2=s={size}:r=25:d={seconds}"
    return ffmpeg(path, "-f", "lavfi", "-i", source, *arguments)


def video_with_everything(path: Path, subtitles: str) -> Path:
    """A video with two audio tracks, a subtitle track and two chapters."""
    (lines := path.with_suffix(".srt")).write_text("1\n00:00:00,000 --> 00:00:00,900\nHello\n")
    (list_ := path.with_suffix(".txt")).write_text(CHAPTERS)
    inputs = ["testsrc2=s=128x72:r=25:d=1", "sine=d=1", "aevalsrc=0|0:d=1:s=48000"]
    return ffmpeg(
        path,
        *(word for source in inputs for word in ("-f", "lavfi", "-i", source)),
        *("-i", lines, "-f", "ffmetadata", "-i", list_, "-map_metadata", "4"),
        *("-map", "0", "-map", "1", "-map", "2", "-map", "3"),
        *("-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "title=Director"),
        *("-metadata:s:s:0", "language=fra", "-c:v", "libx264", "-c:a", "aac", "-c:s", subtitles),
    )


def make_audio(path: Path, codec: str) -> Path:
    return make_video(path, "", codec)


def turn(path: Path, clockwise: int) -> Path:
    """Writes a rotation into the header of an MP4's first track, as phones do."""
    matrices = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
    return with_matrix(path, matrices[clockwise])


def with_matrix(path: Path, display: tuple[int, int, int, int]) -> Path:
    """Writes a display matrix into the header of an MP4's first track."""
    a, b, c, d = (value << 16 for value in display)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    struct.pack_into(">5i", data, matrix, a, b, 0, c, d)
    path.write_bytes(data)
    return path


def heic(path: Path) -> Path:
    """A HEIC image of 128 × 72 with one frame by x265. It is stored as data, because the encoder's
    output varies and sometimes cannot be written to a file."""
    path.write_bytes(Path(__file__).with_name("frame.heic").read_bytes())
    return path


def pdf(path: Path, *, pages: int = 1, info: bytes = b"", trailer: bytes = b"") -> Path:
    """A PDF with empty pages of 200 × 100 points. `info` is its information dictionary."""
    kids = b" ".join(b"%d 0 R" % (4 + page) for page in range(pages))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages, kids),
        b"<<%s>>" % info,
        *[b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]>>"] * pages,
    ]
    data = b"%PDF-1.7\n"
    table = b"0000000000 65535 f \n"
    for number, body in enumerate(objects, 1):
        table += b"%010d 00000 n \n" % len(data)
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    size = len(objects) + 1
    tail = b"trailer\n<</Root 1 0 R/Info 3 0 R/Size %d%s>>\n" % (size, trailer)
    xref = b"xref\n0 %d\n%s%sstartxref\n%d\n%%%%EOF\n" % (size, table, tail, len(data))
    path.write_bytes(data + xref)
    return path
