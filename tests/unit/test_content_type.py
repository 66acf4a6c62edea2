"""Detection of a content type from the bytes."""

import io
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import av
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st

from docs.formats_page import REFUSED
from media_service.codecs.detection import detect, signatures
from media_service.codecs.detection.isobmff import BRANDS
from media_service.codecs.detection.tiff import MAKERS
from media_service.codecs.detection.tiff import OTHERS as TIFF_OTHERS
from media_service.media.content_type import (
    ALIASES,
    READABLE_TYPES,
    kind_of,
    matches,
    normalize,
)
from media_service.media.model import Kind
from media_service.media.pixels import HEAD, pixels

UNKNOWN = "application/octet-stream"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"></svg>'
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"


def image(suffix: str, width: int = 30, height: int = 20) -> bytes:
    image = pyvips.Image.black(width, height, bands=3).copy(interpretation="srgb")
    return bytes(image.write_to_buffer(suffix))


def video(container: str, video: str, audio: str) -> bytes:
    output = io.BytesIO()
    with av.open(output, "w", format=container) as file:
        streams: list[Any] = []
        if video:
            streams.append(file.add_stream(video, rate=25, width=64, height=48, pix_fmt="yuv420p"))
            for number in range(3):
                frame = av.VideoFrame(64, 48, "yuv420p")
                for area in frame.planes:
                    area.update(bytes(area.buffer_size))
                frame.pts = number
                file.mux(streams[0].encode(frame))
        if audio:
            audio_stream: Any = file.add_stream(audio, rate=48000, layout="stereo")
            streams.append(audio_stream)
            size = audio_stream.codec_context.frame_size or 1024
            for number in range(3):
                samples = av.AudioFrame(audio_stream.codec_context.format.name, "stereo", size)
                for plane in samples.planes:
                    plane.update(bytes(plane.buffer_size))
                samples.sample_rate, samples.pts = 48000, number * size
                file.mux(audio_stream.encode(samples))
        for stream in streams:
            file.mux(stream.encode(None))
    return output.getvalue()


def bmp(width: int, height: int) -> bytes:
    head = b"BM" + struct.pack("<IIIIiiHH", 54, 0, 54, 40, width, height, 1, 24)
    return head + bytes(24 + 100)


def png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header))


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b";"


def jpeg(width: int, height: int, before: bytes = b"") -> bytes:
    frame = struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0)
    return b"\xff\xd8" + before + b"\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame


def webp_canvas(width: int, height: int) -> bytes:
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + canvas


def tiff(width: int, height: int, order: str = "<") -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(f"{order}HHII", 256, 4, 1, width)
    entries += struct.pack(f"{order}HHII", 257, 4, 1, height)
    return mark + struct.pack(f"{order}IH", 8, 2) + entries + bytes(4)


def isobmff(brand: bytes, *sizes: tuple[int, int]) -> bytes:
    """The boxes of an image, down to one `ispe` for each size."""

    def box(name: bytes, payload: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(payload), name) + payload

    extents = b"".join(box(b"ispe", bytes(4) + struct.pack(">II", *size)) for size in sizes)
    meta = box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", extents)))
    return box(b"ftyp", brand + bytes(4) + b"mif1" + brand) + meta


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("photo.jpg", b"\xff\xd8\xff")
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "content_type", "kind"),
    [
        (lambda: image(".jpg"), "image/jpeg", Kind.IMAGE),
        (lambda: image(".png"), "image/png", Kind.IMAGE),
        (lambda: image(".gif"), "image/gif", Kind.IMAGE),
        (lambda: image(".webp"), "image/webp", Kind.IMAGE),
        (lambda: image(".avif"), "image/avif", Kind.IMAGE),
        (lambda: image(".tif"), "image/tiff", Kind.IMAGE),
        (lambda: isobmff(b"heic", (30, 20)), "image/heic", Kind.IMAGE),
        (lambda: bmp(30, 20), "image/bmp", Kind.IMAGE),
        (lambda: SVG, "image/svg+xml", Kind.IMAGE),
        (lambda: video("mp4", "libx264", "aac"), "video/mp4", Kind.VIDEO),
        (lambda: video("mov", "libx264", "aac"), "video/quicktime", Kind.VIDEO),
        (lambda: video("webm", "libvpx-vp9", "libopus"), "video/webm", Kind.VIDEO),
        (lambda: video("matroska", "libx264", "aac"), "video/x-matroska", Kind.VIDEO),
        (lambda: video("mpegts", "libx264", "aac"), "video/mp2t", Kind.VIDEO),
        (lambda: video("avi", "mpeg4", ""), "video/vnd.avi", Kind.VIDEO),
        (lambda: video("mp3", "", "libmp3lame"), "audio/mpeg", Kind.AUDIO),
        (lambda: video("flac", "", "flac"), "audio/flac", Kind.AUDIO),
        (lambda: video("ogg", "", "libopus"), "audio/ogg", Kind.AUDIO),
        (lambda: video("wav", "", "pcm_s16le"), "audio/wav", Kind.AUDIO),
        (lambda: video("ipod", "", "aac"), "audio/mp4", Kind.AUDIO),
        (lambda: video("adts", "", "aac"), "audio/aac", Kind.AUDIO),
        (lambda: video("aiff", "", "pcm_s16be"), "audio/aiff", Kind.AUDIO),
        (lambda: PDF, "application/pdf", Kind.DOCUMENT),
        (archive, "application/zip", Kind.DOCUMENT),
        (lambda: b"MZ" + bytes(500), "application/x-msdownload", Kind.DOCUMENT),
        (lambda: b"\x7fELF" + bytes(500), "application/x-executable", Kind.DOCUMENT),
    ],
)
def test_a_type_is_detected_from_the_bytes(
    make: Callable[[], bytes], content_type: str, kind: Kind
) -> None:
    found = detect(make()[:HEAD])
    assert (found, kind_of(found)) == (content_type, kind)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0",
        b"\xff",
        b"plain text",
        b"<!DOCTYPE html><html><script>alert(1)</script>",
        b"<html>",
        b"<!-- a comment --><html><svg></svg>",
        b"<script>alert(1)</script>",
        b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>',
        b'<?xml version="1.0"?><!-- <svg> --><html/>',
        b"<!-- <svg> -->",
        b"<svgx>",
        b"x<svg>",
        b"GI",
        b"%PD",
        b"\xff\xd8",
        b"#!/bin/sh\n",
        b'{"json": true}',
        b"\x47" + bytes(4 * 188),
    ],
)
def test_other_bytes_have_an_unknown_type(head: bytes) -> None:
    assert detect(head) == UNKNOWN


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\xef\xbb\xbf",
        b"  \r\n\t",
        b'<?xml version="1.0" encoding="UTF-8"?>\n',
        b"<!-- a comment -->",
        b"<!-- one --><!-- two\nlines -->\n",
        b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd">',
        b"<!-- <html><script> -->",
    ],
)
def test_an_svg_is_detected_after_any_prologue(before: bytes) -> None:
    assert detect(before + SVG) == "image/svg+xml"


SCRIPT = b"<script>alert(document.domain)</script>"


@pytest.mark.parametrize(
    "head",
    [
        b"<!-- \xff\xd8\xff\xe0 JFIF -->" + SCRIPT,
        b"<!--GIF89a-->" + SCRIPT,
        b"<!-- \x89PNG\r\n\x1a\n -->" + SCRIPT,
        b"<!-- ftypmp42 -->" + SCRIPT,
        b"<!--ftypavif--><html>" + SCRIPT,
        b"<!--RIFF....WEBP-->" + SCRIPT,
        b"<html>" + b" " * 250 + b"ustar" + SCRIPT,
        b"\r\n\xff\xd8\xff" + SCRIPT,
        b" GIF89a" + SCRIPT,
        b"<!-- matroska webm -->" + SCRIPT,
    ],
)
def test_an_html_page_that_contains_image_markup_is_not_an_image(head: bytes) -> None:
    """Bytes that a browser would read as a page must not get a type that is shown inline."""
    assert kind_of(detect(head)) is Kind.DOCUMENT
    assert detect(head) != "application/pdf"


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (gif(1, 1) + SCRIPT, "image/gif"),
        (png(1, 1) + SCRIPT, "image/png"),
        (PDF + archive(), "application/pdf"),
        (archive() + PDF, "application/zip"),
    ],
)
def test_the_first_bytes_determine_the_type_of_a_polyglot(head: bytes, content_type: str) -> None:
    assert detect(head) == content_type


@pytest.mark.parametrize(
    "piece",
    [
        b"<!---->",
        b"<!-- -->\n",
        b"<?xml?>",
        b"<!DOCTYPE svg>",
        b" ",
        b"<!--",
        b"<!",
        b"<?xml",
        b"<",
    ],
)
def test_repetitive_bytes_are_detected_in_linear_time(piece: bytes) -> None:
    """A backtracking expression would effectively never end."""
    head = piece * (4096 // len(piece))
    started = time.process_time()
    assert detect(head) == UNKNOWN
    assert detect(head + b"<html>") == UNKNOWN
    assert time.process_time() - started < 0.5


# Names


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("image/jpeg", "image/jpeg"),
        ("IMAGE/JPEG", "image/jpeg"),
        ("image/jpg", "image/jpeg"),
        (" image/jpg ; q=1", "image/jpeg"),
        ("audio/mp3", "audio/mpeg"),
        ("audio/x-wav", "audio/wav"),
        ("video/x-m4v", "video/mp4"),
        ("application/ogg", "audio/ogg"),
        ("text/html; charset=utf-8", "text/html"),
        ("", ""),
        (";", ""),
    ],
)
def test_a_content_type_is_normalized(name: str, normal: str) -> None:
    assert normalize(name) == normal


def test_an_alias_maps_to_a_canonical_name() -> None:
    assert not set(ALIASES.values()) & set(ALIASES)


@pytest.mark.parametrize(
    ("content_type", "good"),
    [
        ("image/png", True),
        ("image/svg+xml", True),
        ("video/mp4", True),
        ("video/webm", False),
        ("application/pdf", False),
        ("imagex/png", False),
        ("image/x-canon-cr3", False),  # no loader
        ("image", False),
        ("", False),
    ],
)
def test_a_type_is_matched_against_patterns(content_type: str, good: bool) -> None:
    assert matches(content_type, ("image/*", "video/mp4")) is good


# Pixels


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".webp", ".avif", ".webp[lossless]"])
def test_the_header_of_a_real_image_declares_its_pixels(suffix: str) -> None:
    head = image(suffix, 123, 45)
    assert pixels(head, detect(head)) == 123 * 45


HUGE = 65_535 * 65_535


@pytest.mark.parametrize(
    ("head", "promised"),
    [
        (png(65_536, 65_536), 2**32),
        (png(2**31 - 1, 2**31 - 1), (2**31 - 1) ** 2),
        (gif(65_535, 65_535), HUGE),
        (gif(32_768, 40_000), 32_768 * 40_000),
        (jpeg(65_535, 65_535), HUGE),
        (webp_canvas(1 << 24, 1 << 24), 1 << 48),
        (tiff(65_535, 65_535), HUGE),
        (tiff(65_535, 65_535, ">"), HUGE),
        (bmp(65_535, 65_535), HUGE),
        (bmp(65_535, -65_535), HUGE),  # from the top down
        (isobmff(b"avif", (65_535, 65_535)), HUGE),
        (isobmff(b"heic", (512, 512), (65_535, 65_535)), HUGE),  # tiles, and their grid
    ],
)
def test_the_pixels_that_a_header_declares_are_trusted(head: bytes, promised: int) -> None:
    assert pixels(head, detect(head)) == promised


def test_the_size_of_a_jpeg_is_found_after_its_metadata() -> None:
    block = b"\xff\xe1" + struct.pack(">H", 65_535) + bytes(65_533)
    head = jpeg(4000, 3000, before=block * 15)
    assert len(head) < HEAD
    assert pixels(head, detect(head)) == 12_000_000


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        png(5, 5)[:20],
        gif(5, 5)[:8],
        jpeg(5, 5)[:5],
        b"\xff\xd8\xff\xe0\0\0" * 100,
        b"RIFF\0\0\0\0WEBPVP8X",
        tiff(5, 5)[:12],
        b"II*\0\xff\xff\xff\xff",
        isobmff(b"avif", (5, 5))[:-1],
        b"<svg><!-- no size -->",
        b'<svg width="-5" height="x">',
        b'<svg width="nan" height="inf">',
    ],
)
def test_an_unreadable_header_declares_no_pixels(head: bytes) -> None:
    assert pixels(head, detect(head)) == 0


BEGINNINGS = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"RIFF\0\0\0\0WEBPVP8L",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"II+\0\x08\0\0\0",
    b"BM",
    b"\0\0\0\x1cftypavif\0\0\0\0mif1avif",
    b"\0\0\0\x1cftypisom",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\0\0\x01\0",
    b"8BPS\0\x01",
    b"<svg ",
    b"\x1aE\xdf\xa3",
    b"OggS",
    b"ID3",
    b"PK\x03\x04",
    b"%PDF",
]
TYPES = ["image/avif", "image/heic", "image/jpeg", "image/svg+xml", "image/tiff"]


@settings(max_examples=500)
@given(st.sampled_from(BEGINNINGS), st.binary(max_size=400), st.sampled_from(TYPES))
def test_any_bytes_have_a_type_and_pixels(beginning: bytes, rest: bytes, other: str) -> None:
    head = beginning + rest
    found = detect(head)
    assert normalize(found) == found
    assert pixels(head, found) >= 0
    assert pixels(head, other) >= 0


@settings(max_examples=200)
@given(st.integers(0, 4), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255))))
def test_an_image_with_wrong_bytes_has_a_type_and_pixels(
    which: int, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(IMAGES[which])
    for place, value in changes:
        data[place % len(data)] = value
    assert pixels(bytes(data), detect(bytes(data))) >= 0


IMAGES = [image(suffix) for suffix in (".jpg", ".png", ".webp", ".tif", ".avif")]


def test_the_formats_that_are_documented_as_refused_are_detected_and_not_read() -> None:
    known = {name for _, name in signatures.SIGNATURES} | {*signatures.FIELDS} | {*MAKERS.values()}
    known |= {*BRANDS.values(), *TIFF_OTHERS.values()}
    known |= {name for forms in signatures.FORMS.values() for name in forms.values()}
    media = {name for name in known if name.partition("/")[0] in {"image", "video", "audio"}}
    assert media - READABLE_TYPES == REFUSED.keys()
