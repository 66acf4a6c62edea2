"""Detects SVG drawings, also compressed ones, by the name of their root element."""

import codecs
import re
import zlib

from media_service.codecs.detection.data import Data

SVG, COMPRESSED = "image/svg+xml", "image/svg+xml-compressed"
# What may precede the root element.
PROLOGUE_BYTES = 1 << 18
GZIP = b"\x1f\x8b\x08"
ENCODINGS = {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}
# The text up to the root element. All quantifiers are possessive: backtracking would take
# exponential time.
ROOT = re.compile(
    rb"""
    (?:
        \s++
      | <\? (?> .*? \?> )
      | <!-- (?> .*? --> )
      | <!DOCTYPE \s++ (?:[\w.-]++:)?+ svg (?![\w.:-])
            (?: [^\[>"']++ | "[^"]*+" | '[^']*+' )*+
            (?: \[
                (?: [^\]"'<]++ | "[^"]*+" | '[^']*+' | <!-- (?> .*? --> ) | <(?!!--) )*+
            \] \s*+ )?+ >
    )*+
    <(?:[A-Za-z_][\w.-]*+:)?+svg[\s/>]
    """,
    re.DOTALL | re.VERBOSE,
)


def detect(data: Data) -> str:
    head = data[:PROLOGUE_BYTES]
    if head[:3] == GZIP:
        return COMPRESSED if ROOT.match(text(unpacked(head))) else ""
    return SVG if ROOT.match(text(head)) else ""


def text(head: bytes) -> bytes:
    """Returns the text in UTF-8 without a byte order mark."""
    if name := ENCODINGS.get(head[:2]):
        return head[: len(head) // 2 * 2].decode(name, "replace").encode(errors="replace")
    return head.removeprefix(codecs.BOM_UTF8)


def unpacked(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, PROLOGUE_BYTES)
    except zlib.error:
        return b""
