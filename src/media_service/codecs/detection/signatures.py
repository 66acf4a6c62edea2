"""Detects files by signatures at fixed positions."""

import re
import struct
from collections.abc import Sequence

from media_service.codecs.detection.data import Data

# The part of a file that has all signatures.
BYTES = 1024

SIGNATURES: Sequence[tuple[bytes, str]] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\xff\x0a", "image/jxl"),
    (b"\xff\x4f\xff\x51", "image/j2c"),
    (b"8BPS\0\1", "image/vnd.adobe.photoshop"),
    (b"8BPS\0\2", "image/x-psb"),
    (b"icns", "image/icns"),
    (b"#?RADIANCE", "image/vnd.radiance"),
    (b"#?RGBE", "image/vnd.radiance"),
    (b"v/1\1", "image/x-exr"),
    (b"DDS \x7c\0\0\0", "image/vnd-ms.dds"),
    (b"qoif", "image/qoi"),
    (b"/* XPM */", "image/x-xpixmap"),
    (b"P7\n", "image/x-portable-arbitrarymap"),
    (b"BPG\xfb", "image/bpg"),
    (b"FLIF", "image/flif"),
    (b"AT&TFORM", "image/vnd.djvu"),
    (b"AC10", "image/vnd.dwg"),
    (b"gimp xcf ", "image/x-xcf"),
    (b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (b"\x8aMNG\r\n\x1a\n", "video/x-mng"),
    (b"\x8bJNG\r\n\x1a\n", "image/x-jng"),
    (b"FUJIFILMCCD-RAW", "image/x-fuji-raf"),
    (b"\0MRM", "image/x-minolta-mrw"),
    (b"FOVb", "image/x-sigma-x3f"),
    (b"FLV\1", "video/x-flv"),
    (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "video/x-ms-wmv"),
    (b"\0\0\1\xba", "video/mpeg"),
    (b"\0\0\1\xb3", "video/mpv"),
    (b"\0\0\0\1\x67", "video/h264"),
    (b"\0\0\1\x67", "video/h264"),
    (b"\0\0\0\1\x09", "video/h264"),
    (b"\0\0\0\1\x40\1", "video/h265"),
    (b"\0\0\0\1\x46\1", "video/h265"),
    (b"YUV4MPEG2", "video/x-yuv4mpeg"),
    (b"DKIF\0\0", "video/x-ivf"),
    (b"\x1f\x07\0", "video/dv"),
    (b".RMF\0\0\0", "application/vnd.rn-realmedia"),
    (b"nut/multimedia container\0", "video/x-nut"),
    (b"fLaC", "audio/flac"),
    (b"#!AMR-WB\n", "audio/amr-wb"),
    (b"#!AMR\n", "audio/amr"),
    (b"caff\0\1", "audio/x-caf"),
    (b".snd\0\0", "audio/basic"),
    (b"wvpk", "audio/x-wavpack"),
    (b"TTA1", "audio/x-tta"),
    (b"MAC ", "audio/x-ape"),
    (b"MPCK", "audio/x-musepack"),
    (b"MP+", "audio/x-musepack"),
    (b"Creative Voice File\x1a", "audio/x-voc"),
    (bytes.fromhex("726966662e91cf11a5d628db04c10000"), "audio/x-w64"),
    (b"DSD \x1c\0\0\0", "audio/x-dsf"),
    (b"FRM8", "audio/x-dff"),
    (b"MThd\0\0\0\6", "audio/midi"),
    (b".ra\xfd", "audio/vnd.rn-realaudio"),
    (b"\x7f\xfe\x80\1", "audio/vnd.dts"),
    (b"\xfe\x7f\1\x80", "audio/vnd.dts"),
    (b"\x1f\xff\xe8\0", "audio/vnd.dts"),
    (b"\xff\x1f\0\xe8", "audio/vnd.dts"),
    (b"%PDF-", "application/pdf"),
)
# By the name of the form, at byte 8 of a file of chunks.
RIFF = {
    b"WEBP": "image/webp",
    b"AVI ": "video/vnd.avi",
    b"WAVE": "audio/wav",
    b"RMID": "audio/midi",
    b"ACON": "application/x-navi-animation",
    b"QLCM": "audio/qcelp",
}
FORMS = {
    **dict.fromkeys((b"RIFF", b"RF64", b"BW64", b"RIFX"), RIFF),
    b"FORM": {b"AIFF": "audio/aiff", b"AIFC": "audio/aiff", b"ILBM": "image/x-ilbm"},
}
EBML = b"\x1a\x45\xdf\xa3"
DOC_TYPE = re.compile(rb"\x42\x82[\x81-\x9f]([a-z]++)")
DOC_TYPES = {b"webm": "video/webm", b"matroska": "video/x-matroska"}
# The sizes of the second header of a BMP.
BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
NETPBM = re.compile(rb"P[1-6Ff](?:\s|#[^\n]*+\n)++[0-9]++(?:\s|#[^\n]*+\n)++[0-9]")
PDF = re.compile(rb"%PDF-[0-9]")


def detect(data: Data) -> str:
    head = bytes(data[:BYTES])
    for signature, name in SIGNATURES:
        if head.startswith(signature):
            return name
    if found := FORMS.get(head[:4], {}).get(head[8:12]):
        return found
    if head[:4] == EBML:
        named = DOC_TYPE.search(head)
        return DOC_TYPES.get(named[1], "") if named else DOC_TYPES[b"matroska"]
    return next((name for name, matches in FIELDS.items() if matches(head)), "")


def is_bmp(head: bytes) -> bool:
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BMP_HEADERS


def is_icon(head: bytes) -> bool:
    return is_icons(head, 1)


def is_cursor(head: bytes) -> bool:
    return is_icons(head, 2)


def is_icons(head: bytes, kind: int) -> bool:
    """Whether the first entry of the directory is plausible. Its last field is where the first
    image begins."""
    if len(head) < 22:
        return False
    zero, found, count, _, _, _, reserved = struct.unpack_from("<HHHBBBB", head)
    (start,) = struct.unpack_from("<I", head, 18)
    return (zero, found, reserved) == (0, kind, 0) and count > 0 and start >= 6 + 16 * count


def is_pcx(head: bytes) -> bool:
    plausible = head[1:2] in {b"\0", b"\2", b"\3", b"\4", b"\5"} and head[2:3] == b"\1"
    depth = head[3:4] in {b"\1", b"\2", b"\4", b"\x08"}
    return head[:1] == b"\n" and plausible and depth and head[64:65] == b"\0"


def is_sgi(head: bytes) -> bool:
    return head[:2] == b"\1\xda" and head[2:3] < b"\2" and head[3:6] in SGI_LAYOUTS


# The bytes per channel and the dimensions.
SGI_LAYOUTS = {bytes((depth, 0, dimension)) for depth in (1, 2) for dimension in (1, 2, 3)}


def is_emf(head: bytes) -> bool:
    return head[:4] == b"\1\0\0\0" and head[40:44] == b" EMF"


def is_dicom(head: bytes) -> bool:
    return head[128:132] == b"DICM"


def is_netpbm(head: bytes) -> bool:
    return NETPBM.match(head) is not None


FIELDS = {
    "image/bmp": is_bmp,
    "image/vnd.microsoft.icon": is_icon,
    "image/x-win-cursor": is_cursor,
    "image/vnd.zbrush.pcx": is_pcx,
    "image/sgi": is_sgi,
    "image/emf": is_emf,
    "application/dicom": is_dicom,
    "image/x-portable-anymap": is_netpbm,
}


def pdf_behind_other_bytes(data: Data) -> str:
    """Readers look for the header of a PDF in the first kibibyte. Markup that quotes it is none."""
    head = bytes(data[:BYTES])
    found = not head.lstrip().startswith(b"<") and PDF.search(head)
    return "application/pdf" if found else ""
