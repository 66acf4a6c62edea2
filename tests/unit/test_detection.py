"""Detection of a content type from the structure of a file, where the first bytes vary."""

import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from media_service.codecs.detection import detect
from media_service.codecs.detection.beginnings import LEAST_BYTES, possible_types
from media_service.codecs.detection.data import Data
from media_service.media.pixels import HEAD

UNKNOWN = "application/octet-stream"


def box(name: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(payload), name) + payload


def ftyp(*brands: bytes) -> bytes:
    return box(b"ftyp", brands[0] + bytes(4) + b"".join(brands[1:]))


def meta(item: bytes) -> bytes:
    infe = box(b"infe", b"\x02\0\0\0" + b"\0\1\0\0" + item + b"\0")
    return box(b"meta", bytes(4) + box(b"iinf", bytes(6) + infe))


MOVIE = box(b"moov", box(b"mvhd", bytes(100)))
LONG_MDAT = struct.pack(">I4sQ", 1, b"mdat", 5 << 30) + bytes(100)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        *((ftyp(brand, brand) + MOVIE, "video/mp4") for brand in (b"iso5", b"avc1", b"dash")),
        *((ftyp(brand) + MOVIE, "video/mp4") for brand in (b"f4v ", b"MSNV", b"M4V ", b"zzzz")),
        (ftyp(b"M4A ", b"mp42", b"isom"), "audio/mp4"),
        (ftyp(b"M4B "), "audio/mp4"),
        (ftyp(b"3gp5", b"3gp5"), "video/3gpp"),
        (ftyp(b"3ge6", b"isom"), "video/3gpp"),
        (ftyp(b"3g2a"), "video/3gpp2"),
        (ftyp(b"qt  "), "video/quicktime"),
        (ftyp(b"heix", b"mif1"), "image/heic"),
        (ftyp(b"hevc", b"msf1"), "image/heic"),
        (ftyp(b"mif1", b"mif1", b"heic"), "image/heic"),
        (ftyp(b"mif1", b"miaf") + meta(b"hvc1"), "image/heic"),
        (ftyp(b"mif1", b"miaf") + meta(b"av01"), "image/avif"),
        (ftyp(b"msf1", b"avis"), "image/avif"),
        (ftyp(b"avis", b"avif"), "image/avif"),
        (ftyp(b"crx ", b"isom"), "image/x-canon-cr3"),
        (box(b"jP  ", b"\r\n\x87\n") + ftyp(b"jp2 "), "image/jp2"),
        (box(b"jP  ", b"\r\n\x87\n") + ftyp(b"mjp2"), "video/mj2"),
        (box(b"JXL ", b"\r\n\x87\n") + ftyp(b"jxl "), "image/jxl"),
        (MOVIE, "video/quicktime"),
        (box(b"wide") * 4 + box(b"free") + box(b"mdat", b"x" * 100) + MOVIE, "video/quicktime"),
        (box(b"skip", bytes(50)) + ftyp(b"isom"), "video/mp4"),
        (struct.pack(">I4s", 1 << 25, b"mdat") + bytes(1000), "video/quicktime"),
        (LONG_MDAT, "video/quicktime"),
        (struct.pack(">I4s", 0, b"mdat") + bytes(100), "video/quicktime"),
        (box(b"styp", b"msdh" + bytes(4)) + box(b"sidx"), "video/mp4"),
        (box(b"moof", box(b"mfhd")), "video/mp4"),
        (box(b"free") * 100, UNKNOWN),
        (box(b"mdat", b"x" * 100) + b"not a box", UNKNOWN),
        (box(b"moov", b"not a box"), UNKNOWN),
        (b"<!--mdat--><script>alert(1)</script>", UNKNOWN),
        (b"<!--moov....mvhd--><script>alert(1)</script>", UNKNOWN),
        (ftyp(b"iso5")[:12], UNKNOWN),
        (struct.pack(">I4s4sI", 5000, b"ftyp", b"isom", 0) + bytes(5000), UNKNOWN),
    ],
)
def test_boxes_tell_the_type(data: bytes, content_type: str) -> None:
    assert detect(data) == content_type


def ogg(*tracks: bytes) -> bytes:
    pages = [
        struct.pack("<4sBBqIIIB", b"OggS", 0, 2, 0, n, 0, 0, 1) + bytes([len(packet)]) + packet
        for n, packet in enumerate(tracks)
    ]
    return b"".join(pages) + struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, 0, 0, 0, 0)


THEORA, VORBIS, SKELETON = b"\x80theora\3\2\1", b"\1vorbis" + bytes(9), b"fishead\0" + bytes(20)


@pytest.mark.parametrize(
    ("tracks", "content_type"),
    [
        ((THEORA, VORBIS), "video/ogg"),
        ((VORBIS, THEORA), "video/ogg"),
        ((SKELETON, VORBIS, THEORA), "video/ogg"),
        ((VORBIS,), "audio/ogg"),
        ((b"OpusHead" + bytes(11),), "audio/ogg"),
        ((SKELETON, b"\x7fFLAC"), "audio/ogg"),
    ],
)
def test_ogg_is_a_video_if_a_track_is(tracks: tuple[bytes, ...], content_type: str) -> None:
    assert detect(ogg(*tracks)) == content_type


def tiff(order: str, *entries: tuple[int, int, int], gap: int = 0) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    shift = 16 if order == ">" else 0
    fields = b"".join(
        struct.pack(f"{order}HHII", tag, kind, 1, value << (shift if kind == 3 else 0))
        for tag, kind, value in entries
    )
    head = mark + struct.pack(f"{order}I", 8 + gap) + bytes(gap)
    return head + struct.pack(f"{order}H", len(entries)) + fields + bytes(4)


SIZE = ((256, 3, 24), (257, 3, 16))
REDUCED, SUB_IFDS, DNG_VERSION = (254, 4, 1), (330, 4, 5000), (50706, 1, 0x00000401)


def by_maker(name: bytes, order: str = "<") -> bytes:
    entries = (REDUCED, *SIZE, (271, 2, 0), SUB_IFDS)
    at = len(tiff(order, *entries))
    return tiff(order, REDUCED, *SIZE, (271, 2, at), SUB_IFDS) + name + b"\0"


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (tiff("<", *SIZE), "image/tiff"),
        (tiff(">", *SIZE), "image/tiff"),
        (b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0", "image/tiff"),
        (b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10", "image/tiff"),
        (tiff("<", REDUCED, *SIZE, SUB_IFDS, DNG_VERSION), "image/x-adobe-dng"),
        (tiff(">", *SIZE, DNG_VERSION, gap=5000), "image/x-adobe-dng"),
        (tiff("<", *SIZE, DNG_VERSION, gap=HEAD), "image/tiff"),  # inspection sees it
        (by_maker(b"NIKON CORPORATION"), "image/x-nikon-nef"),
        (by_maker(b"SONY", ">"), "image/x-sony-arw"),
        (by_maker(b"A scanner"), "image/tiff"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(100), "image/x-canon-cr2"),
        (b"IIRO\x08\0\0\0" + bytes(100), "image/x-olympus-orf"),
        (b"IIU\0\x18\0\0\0" + bytes(100), "image/x-panasonic-rw2"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(100), "image/x-fuji-raf"),
    ],
)
def test_a_raw_file_is_not_taken_for_a_tiff(data: bytes, content_type: str) -> None:
    assert detect(data[:HEAD]) == content_type


def id3(size: int, version: int = 3) -> bytes:
    digits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([version, 0, 0]) + digits + bytes(size)


MP3 = (b"\xff\xfb\x90\x00" + bytes(413)) * 6
MP3_25 = (b"\xff\xe3\x28\xc4" + bytes(140)) * 6
LAYER_2 = (b"\xff\xfd\x84\x00" + bytes(380)) * 6
ADTS = (b"\xff\xf1\x50\x80\x0c\x9f\xfc" + bytes(93)) * 6
AC3 = (b"\x0b\x77\0\0\x0c\x40" + bytes(378)) * 6
EAC3 = (b"\x0b\x77\x00\xbf\x3f\x80" + bytes(378)) * 6


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (MP3, "audio/mpeg"),
        (MP3_25, "audio/mpeg"),
        (LAYER_2, "audio/mpeg"),
        (MP3[: 417 * 2], "audio/mpeg"),  # a short file
        (b"junk" * 100 + MP3, "audio/mpeg"),
        (ADTS, "audio/aac"),
        (AC3, "audio/ac3"),
        (EAC3, "audio/eac3"),
        (id3(300) + b"fLaC" + bytes(100), "audio/flac"),
        (id3(300) + ADTS, "audio/aac"),
        (id3(300) + bytes(2000) + MP3_25, "audio/mpeg"),
        (id3(300) + id3(20, 4) + b"fLaC" + bytes(100), "audio/flac"),
        (id3(300) + AC3, "audio/ac3"),
        (id3(300) + b"RIFF\0\1\0\0WAVEfmt ", "audio/wav"),
        (id3(300) + b"\xff\xd8\xff", "audio/mpeg"),  # never an image
        (id3(2 * HEAD) + b"fLaC", "audio/mpeg"),  # inspection sees it
        (b"ID3 is a tag", UNKNOWN),
        (b"\xff\xfb\x90\x00" + bytes(5000), UNKNOWN),
        (b"\xff\xe3\x28\xc4", UNKNOWN),
        (b"text with a \x0b\x77 in it" * 50, UNKNOWN),
        (b"RF64\xff\xff\xff\xffWAVEds64", "audio/wav"),
        (b"RIFX\0\0\0\1WAVEfmt ", "audio/wav"),
        (b"FORM\0\0\1\0AIFCFVER", "audio/aiff"),
        (b"#!AMR-WB\n", "audio/amr-wb"),
        (b"caff\0\1\0\0desc", "audio/x-caf"),
        (b".snd\0\0\0\x18", "audio/basic"),
        (b"wvpk" + bytes(30), "audio/x-wavpack"),
        (b"MThd\0\0\0\6", "audio/midi"),
    ],
)
def test_audio_is_told_by_its_frames(data: bytes, content_type: str) -> None:
    assert detect(data[:HEAD]) == content_type


def packets(size: int, before: int = 0, count: int = 10) -> bytes:
    packet = b"\x47\x40\x11" + b"\xff" * 185 + bytes(max(0, size - 188))
    return bytes(before) + packet * count


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (packets(188), "video/mp2t"),
        (packets(192, before=4), "video/mp2t"),
        (packets(204), "video/mp2t"),
        (packets(188, before=100), "video/mp2t"),
        (packets(192, before=4, count=3), UNKNOWN),
        (bytes(20_000) + bytes.fromhex("060e2b34020501010d0102010102"), "application/mxf"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska", "video/x-matroska"),
        (b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\1", "video/x-matroska"),
        (b"YUV4MPEG2 W64 H48\n", "video/x-yuv4mpeg"),
    ],
)
def test_streams_of_packets_tell_the_type(data: bytes, content_type: str) -> None:
    assert detect(data) == content_type


SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"/>'
DOCTYPE = """<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd" [
    <!ENTITY ns_svg "http://www.w3.org/2000/svg"> <!-- it's > a comment ] -->
    <!ENTITY quoted '"]>'>
]>"""
OTHER_DOCTYPE = '<!DOCTYPE html [<!ENTITY a "<svg ">]><html/>'


def gzipped(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    "data",
    [
        (DOCTYPE + SVG).encode(),
        (f"<?xml version='1.0'?>\n<!-- {'x' * 20_000} -->\n" + DOCTYPE + SVG).encode(),
        b'<svg:svg xmlns:svg="http://www.w3.org/2000/svg"/>',
        b'<!DOCTYPE svg:svg SYSTEM "svg.dtd"><svg:svg/>',
        b"<?xml-stylesheet href='a>b.css'?><svg/>",
        SVG.encode("utf-16"),
        SVG.encode("utf-16-le"),
        SVG.encode("utf-16-be"),
        SVG.encode("utf-8-sig"),
    ],
)
def test_a_drawing_is_told_by_its_root_element(data: bytes) -> None:
    assert detect(data) == "image/svg+xml"
    assert detect(gzipped(data)) == "image/svg+xml-compressed"


@pytest.mark.parametrize(
    "data",
    [
        OTHER_DOCTYPE.encode(),
        b"<!DOCTYPE html><svg/>",
        b"<html><svg/></html>",
        b"<svgs/>",
        b"<svg:svgs/>",
        b"<a:b:svg/>",
        b"<!DOCTYPE svgx><svg/>",
        f"<!-- {SVG}".encode(),
        "<html><svg/>".encode("utf-16"),
    ],
)
def test_other_markup_is_not_a_drawing(data: bytes) -> None:
    assert detect(data) == UNKNOWN
    assert detect(gzipped(data)) == "application/gzip"


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"\n%PDF-1.4\n", "application/pdf"),
        (b"\xef\xbb\xbf" + b" " * 900 + b"%PDF-1.4\n", "application/pdf"),
        (b"@PJL ENTER LANGUAGE=PDF\r\n%PDF-1.4\n", "application/pdf"),
        (b" " * 1024 + b"%PDF-1.4\n", UNKNOWN),
        (b"The header of a PDF is %PDF-x.", UNKNOWN),
        (b"<html>%PDF-1.4<script>alert(1)</script>", UNKNOWN),
    ],
)
def test_a_pdf_may_begin_behind_other_bytes(data: bytes, content_type: str) -> None:
    assert detect(data) == content_type


def targa(kind: int = 2, depth: int = 24, descriptor: int = 0x20) -> bytes:
    return struct.pack("<BBBHHBHHHHBB", 0, 0, kind, 0, 0, 0, 0, 0, 8, 8, depth, descriptor) + b"x"


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (targa(), "image/x-tga"),
        (targa(10, 32, 0x28), "image/x-tga"),
        (targa(3, 8), "image/x-tga"),
        (targa(4), UNKNOWN),
        (targa(2, 25), UNKNOWN),
        (bytes(100), UNKNOWN),
        (b"\0\0\1\0\1\0\x10\x10\0\0\1\0 \0h\4\0\0\x16\0\0\0", "image/vnd.microsoft.icon"),
        (b"\0\0\1\0\0\0" + bytes(50), UNKNOWN),
        (b"BM of a text file, longer than its header", UNKNOWN),
        (b"8BPS\0\1" + bytes(30), "image/vnd.adobe.photoshop"),
        (b"v/1\1\2\0\0\0", "image/x-exr"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "image/vnd.radiance"),
        (b"P6\n# a comment\n8 8\n255\n", "image/x-portable-anymap"),
        (b"P6 is a product", UNKNOWN),
        (b"\xff\x4f\xff\x51\0\x2f", "image/j2c"),
        (b"\xff\x0a\xfa\x1f", "image/jxl"),
        (b"gimp xcf file\0", "image/x-xcf"),
        (bytes(128) + b"DICM", "application/dicom"),
    ],
)
def test_other_images_are_told_by_their_headers(data: bytes, content_type: str) -> None:
    assert detect(data) == content_type


PART = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 0, 0, 70_000, 70_000, 5, 0) + b"a.bin"
DOCUMENT = b"".join(
    struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name
    for name in (b"[Content_Types].xml", b"word/document.xml")
)
LATE = "<!--" + os.urandom(50_000).hex() + "-->" + SVG
LONG_TAG = id3(0x7F << 10)


@pytest.mark.parametrize(
    ("data", "early"),
    [
        (ftyp(b"isom") + bytes(HEAD), ("video/mp4",)),
        (ftyp(b"mif1") + box(b"free", bytes(50_000)) + meta(b"av01") + bytes(9), "image/avif"),
        (b"\x89PNG\r\n\x1a\n" + bytes(HEAD), ("image/png",)),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm" + bytes(HEAD), ("video/webm",)),
        ((b"G" + bytes(187)) * 6000, ("video/mp2t",)),
        (b"%PDF-1.7" + bytes(HEAD), ("application/pdf",)),
        (b"7z\xbc\xaf\x27\x1c" + bytes(HEAD), ("application/x-7z-compressed",)),
        (tiff("<", *SIZE, DNG_VERSION, gap=100_000), "image/x-adobe-dng"),
        (PART + bytes(70_000) + DOCUMENT + bytes(99), "application/vnd.openxmlformats"),
        (gzipped(LATE.encode()), "image/svg+xml-compressed"),
        (ogg(*[VORBIS] * 60, THEORA) + bytes(HEAD), "video/ogg"),
        (LONG_TAG + b"fLaC" + bytes(99), "audio/flac"),
        (LATE.encode(), ()),
        (bytes(HEAD), ()),
    ],
)
def test_the_beginning_of_a_file_excludes_no_type_that_it_may_have(
    data: bytes, early: tuple[str, ...] | str
) -> None:
    """`early`: the types that the first bytes leave, or the one that only later bytes tell."""
    assert possible_types(data[: LEAST_BYTES - 1]) == ()
    for size in (LEAST_BYTES, 1 << 14, 1 << 16, HEAD):
        possible = possible_types(data[:size])
        assert not possible or detect(data[:HEAD]) in possible
        if isinstance(early, str):
            assert any(name.startswith(early) for name in possible)
        elif size < HEAD:
            assert possible == early


class Counted(bytes):
    """Counts the bytes that detection copies."""

    taken = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, bytes):
            Counted.taken += len(found)
        return found


WORST: dict[str, Callable[[], bytes]] = {
    "comments": lambda: b"<!---->" * (HEAD // 7),
    "an open comment": lambda: b"<!--" + b"x" * HEAD,
    "a document type of quotes": lambda: b"<!DOCTYPE svg " + b"''" * HEAD,
    "a document type of entities": lambda: b"<!DOCTYPE svg [" + b"<!ENTITY a 'b'>" * (HEAD // 15),
    "wide characters": lambda: "<!-- ".encode("utf-16") * (HEAD // 12),
    "a bomb": lambda: gzipped(b" " * (64 << 20)),
    "boxes": lambda: box(b"free") * (HEAD // 8),
    "brands": lambda: ftyp(b"mif1", *[b"abcd"] * 1000) + b"infe" * (HEAD // 4),
    "pages": lambda: ogg(*[b"x"] * 20_000),
    "syncs": lambda: b"\xff\xfb\x90" * (HEAD // 3),
    "frames": lambda: b"\x0b\x77\0\0\x0c\x40" * (HEAD // 6),
    "tags": lambda: id3(0) * (HEAD // 10),
    "packets": lambda: (b"G" + bytes(186)) * (HEAD // 187),
    "entries": lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(HEAD),
    "zeros": lambda: bytes(HEAD),
}


@pytest.mark.parametrize("name", WORST)
def test_detection_copies_a_bounded_part_of_a_file(name: str) -> None:
    """The prologue of a drawing is copied twice, and nothing else is as long."""
    data: Data = Counted(WORST[name]()[:HEAD])
    Counted.taken = 0
    detect(data)
    assert Counted.taken < HEAD // 2
