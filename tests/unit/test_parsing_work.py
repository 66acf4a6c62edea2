"""What the server parses in its event loop takes bounded work, whatever the bytes.

The files are as long as the part of a file that the service looks at, and everything else as long
as its limit. A parser without a bound takes hundreds of thousands of calls for them.
"""

import base64
import json
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from mediaservice.v1.upload_pb2 import UploadSpec
from mediaservice.v1.upload_service_pb2 import WriteUploadRequest

from media_service.access.access_tokens import MAX_TOKEN, TokenVerifier
from media_service.access.link_signer import LinkSigner
from media_service.access.page_tokens import PageTokens
from media_service.codecs.pipeline.validation import MAX_CHARACTERS, parse
from media_service.downloads.conditional_requests import evaluate
from media_service.media.allowed_types import AllowedTypes
from media_service.media.filter import parse_filter
from media_service.media.pixels import HEAD
from media_service.renders.negotiation import negotiate
from media_service.rpc import wire
from media_service.rpc.http import digest_header
from media_service.rpc.multipart import MultipartFile, boundary_of
from media_service.uploads.acceptance import Acceptance
from tests.support.work import calls, calls_of

# Everything in one file, such as the segments of its header.
MAX_CALLS = 10_000
MAX_METADATA = 16 << 10


def filled(beginning: bytes, unit: bytes, size: int = HEAD) -> bytes:
    return (beginning + unit * (size // len(unit) + 1))[:size]


def classic_tiff_entry(tag: int) -> bytes:
    return struct.pack("<HHII", tag, 4, 1, 1)


FILES: Mapping[str, bytes] = {
    "jpeg, empty segments": filled(b"\xff\xd8", b"\xff\xe0\0\2"),
    "jpeg, exif segments": filled(b"\xff\xd8", b"\xff\xe1\0\x10Exif\0\0II*\0\x08\0\0\0"),
    "jpeg, exif of many tags": filled(
        b"\xff\xd8",
        b"\xff\xe1\xff\xffExif\0\0II*\0\x08\0\0\0\xff\xff" + classic_tiff_entry(1) * 5460,
    ),
    "jpeg, fill bytes": filled(b"\xff\xd8\xff", b"\xff"),
    "jpeg, no marker": filled(b"\xff\xd8\xff\xe0\0\2", b"\0"),
    "jpeg, restart markers": filled(b"\xff\xd8\xff\xe0\0\2", b"\xff\xd0"),
    "tiff, many entries": filled(b"II*\0\x08\0\0\0\xff\xff", classic_tiff_entry(1)),
    "bigtiff, many entries": filled(
        b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0" + struct.pack("<Q", 1 << 40),
        struct.pack("<HHQQ", 1, 4, 1, 1),
    ),
    "png, empty chunks": filled(b"\x89PNG\r\n\x1a\n", b"\0\0\0\0junk\0\0\0\0"),
    "gif": filled(b"GIF89a", b"\xff"),
    "bmp": filled(b"BM", b"\xff"),
    "webp, empty chunks": filled(b"RIFF\xff\xff\xff\xffWEBP", b"junk\0\0\0\0"),
    "jpeg 2000, empty boxes": filled(b"\0\0\0\x0cjP  \r\n\x87\n", b"\0\0\0\x08free"),
    "heic, many sizes": filled(b"\0\0\0\x10ftypheic\0\0\0\0", b"ispe\0\0\0\0"),
    "heic, many boxes": filled(b"\0\0\0\x10ftypheic\0\0\0\0", b"\0\0\0\x08free"),
    "mp4, many brands": filled(b"\0\0\x20\0ftypxxxx\0\0\0\0", b"abcd"),
    "matroska": filled(b"\x1a\x45\xdf\xa3", b"\x42\x82\x88"),
    "zip, empty parts": filled(b"", b"PK\3\4" + bytes(26)),
    "zip, long names": filled(
        b"", b"PK\3\4" + bytes(22) + struct.pack("<HH", 65535, 0) + b"\xff" * 65535
    ),
    "zip, long type": filled(
        b"PK\3\4" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument.", b"a"
    ),
    "zstandard, skippable frames": filled(b"", b"\x50\x2a\x4d\x18\0\0\0\0"),
    "mp4, many fillers": filled(b"", b"\0\0\0\x08free"),
    "heif, many items": filled(b"\0\0\0\x14ftypmif1\0\0\0\0mif1", b"infe\2" + bytes(7)),
    "ogg, many tracks": filled(b"", b"OggS\0\2" + bytes(20) + b"\0"),
    "id3, many tags": filled(b"", b"ID3\3" + bytes(6)),
    "mp3, syncs": filled(b"", b"\xff\xfb\x90"),
    "mp3, syncs behind a tag": filled(b"ID3\3" + bytes(6), b"\xff\xfb\x90"),
    "aac, short frames": filled(b"", b"\xff\xf1\x50\x80\0\xff\xfc"),
    "ac-3, syncs": filled(b"", b"\x0b\x77\0\0\x0c\x40"),
    "transport stream, syncs of no packets": filled(b"", b"G" + bytes(186)),
    "svg, a document type": filled(b"<!DOCTYPE svg [", b"<!ENTITY a 'b'>"),
    "svg, wide characters": filled(b"\xff\xfe", "<!---->".encode("utf-16-le")),
    "svg, comments": filled(b"", b"<!---->"),
    "svg, an open comment": filled(b"<svg", b"<!--"),
    "netpbm, comments": filled(b"P6\n", b"#\n"),
    "transport stream": filled(b"", b"\x47"),
    "zeros": bytes(HEAD),
}


ACCEPTANCE = Acceptance(
    max_size=1 << 40, max_pixels=10**9, types=AllowedTypes(("image/*", "video/*", "audio/*"))
)


@pytest.mark.parametrize("name", FILES)
def test_a_type_and_size_are_detected_with_bounded_work(name: str) -> None:
    head = FILES[name]
    assert calls(lambda: ACCEPTANCE.check_content(head, "")) < MAX_CALLS


async def rest() -> AsyncIterator[bytes]:
    return
    yield


async def parse_form(body: bytes) -> None:
    async for _ in await MultipartFile(b"b", UploadSpec()).open(body, rest()):
        pass


FIELD = b"--b\r\nContent-Disposition: form-data; name="
BEGUN = FIELD + b"f; filename=a\r\n\r\n"
FORMS: Mapping[str, bytes] = {
    "beginnings of a boundary": filled(BEGUN, b"\r\n--"),
    "lines that begin with the boundary": filled(BEGUN, b"\r\n--bx"),
    "lines with almost the last boundary": filled(BEGUN, b"\r\n--b-x"),
    "carriage returns": filled(BEGUN, b"\r"),
    "white space behind a boundary": filled(BEGUN + b"\r\n--b", b" "),
    "lines before the form": filled(b"", b"\r\n"),
    "parts": filled(b"", FIELD + b"tags\r\n\r\nx\r\n"),
    "parts without headers": filled(b"", b"--b\r\n\r\n\r\n"),
    "headers": filled(b"--b\r\n", b"X: y\r\n"),
    "a header": filled(b"--b\r\nX: ", b"y"),
    "parameters": filled(b"", FIELD + b"tags" + b";a=b" * 480 + b"\r\n\r\nx\r\n"),
    "continued parameters": filled(b"", FIELD + b"tags;a*0=" + b"b;" * 980 + b"\r\n\r\nx\r\n"),
    "an epilogue": filled(BEGUN + b"\r\n--b--", b"\r\n--b\r\n"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_parsed_with_bounded_work(name: str) -> None:
    """A message is at most a megabyte."""
    assert calls_of(lambda: parse_form(FORMS[name])) < 3 * MAX_CALLS


def encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


NOW = datetime.now(UTC)
VERIFIER = TokenVerifier(secret="s" * 32, jwks="", issuer="", audience="")
LINKS = LinkSigner(["k" * 32])
PAGES = PageTokens(["s" * 32])
PLAIN_HEADER = encoded(json.dumps({"alg": "HS256"}).encode())


def conditional(name: str) -> Callable[[str], Any]:
    return lambda text: evaluate({"range": "bytes=0-", name: text}, '"e"', NOW, 100)


def write_request(raw: bytes) -> Any:
    try:
        return wire.deserializer(WriteUploadRequest)(raw)
    except DecodeError:
        return None


TEXTS: Mapping[str, tuple[Callable[[str], Any], int]] = {
    "Range": (conditional("range"), MAX_METADATA),
    "If-None-Match": (conditional("if-none-match"), MAX_METADATA),
    "If-Match": (conditional("if-match"), MAX_METADATA),
    "If-Range": (conditional("if-range"), MAX_METADATA),
    "If-Modified-Since": (conditional("if-modified-since"), MAX_METADATA),
    "Accept": (lambda text: negotiate(text, 100, animated=False), MAX_METADATA),
    "Content-Digest": (lambda text: digest_header({"d": text}, "D"), MAX_METADATA),
    "Content-Type": (boundary_of, MAX_METADATA),
    "filter": (parse_filter, 2000),
    "ops": (parse, MAX_CHARACTERS),
    "link": (lambda text: LINKS.open("read", text), 2000),
    "page token": (lambda text: PAGES.open([], text, [str]), 1000),
}
BEGINNINGS = ["", "multipart/form-data; ", "bytes=", "image/webp;", "tags:"]
UNITS = [
    '"',
    'W/"",',
    '"",',
    " ",
    ";",
    ";q=0",
    ",",
    ";q=0.",
    "(",
    "NOT ",
    "a=b ",
    "mute,",
    ":",
    "~41",
]
UNITS += [
    "flip,",
    "a=:b:,",
    "9",
    "a.",
    "=",
    "- ",
    "\\",
    "multipart/form-data;a=b",
    "1 Jan ",
    "Mon, ",
]


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_a_request_is_parsed_with_bounded_work(name: str) -> None:
    parse_text, limit = TEXTS[name]
    for unit in UNITS:
        for beginning in BEGINNINGS:
            text = filled(beginning.encode(), unit.encode(), limit).decode()
            assert calls(partial(parse_text, text)) < 3 * MAX_CALLS, (beginning, unit)


@pytest.mark.parametrize("unit", ["[", '{"a":', '"a",', "1", " "])
def test_a_token_is_parsed_with_bounded_work(unit: str) -> None:
    """Its signature is checked after its header was read."""
    half = filled(b"", unit.encode(), MAX_TOKEN * 3 // 4 - 100)
    for token in (f"{encoded(half)}.e30.x", f"{PLAIN_HEADER}.{encoded(half)}.eHg"):
        assert calls_of(partial(refused, token)) < 2 * MAX_CALLS


async def refused(token: str) -> None:
    await VERIFIER.verify(token)


@pytest.mark.parametrize(
    "raw", [b"\x08\0", b"\x0a\0", b"\xff", b"\x12\2\x0a\0", b"\x0b", b"\x18\x80"]
)
def test_a_streamed_message_is_parsed_with_bounded_work(raw: bytes) -> None:
    assert calls(lambda: write_request(filled(b"", raw))) < MAX_CALLS
