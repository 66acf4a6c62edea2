"""Reads the beginning of the text of a document, for searches. Runs in a child process."""

import mmap
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from itertools import islice

from media_service.codecs.document.pdf import open_pdf
from media_service.codecs.document.text import page_text
from media_service.codecs.inspect.limits import text
from media_service.codecs.inspect.office import ODF, OOXML
from media_service.codecs.inspect.rtf import rtf_text

# The parts with text of each type, by the beginning of their names.
PARTS = {
    OOXML + "wordprocessingml.document": "word/document.xml",
    OOXML + "spreadsheetml.sheet": "xl/sharedStrings.xml",
    OOXML + "presentationml.presentation": "ppt/slides/slide",
    ODF + "text": "content.xml",
    ODF + "spreadsheet": "content.xml",
    ODF + "presentation": "content.xml",
}
# What is read at most: pages, parts, and bytes of a part.
MAX_PAGES, MAX_PARTS, MAX_PART_BYTES = 200, 200, 4 << 20
# Words end with these elements. Other elements may be within a word.
ENDS = re.compile(
    r"</(?:\w+:)?(?:p|h|si|tab|br|line-break|table-cell|tc)>|<(?:\w+:)?(?:tab|br)[ />]"
)
# What the modules for ZIP files raise for damaged and encrypted ones.
DAMAGE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError)
ELEMENT = re.compile(r"<[^>]*>")


def read_words(media: int, content_type: str, most: int) -> str:
    """The first `most` characters, as far as they can be read. Empty for types whose text it cannot
    read. Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (DOCUMENT_ENCRYPTED)."""
    if content_type == "application/pdf":
        pieces = pages(media)
    elif content_type in PARTS:
        pieces = parts(media, PARTS[content_type])
    elif content_type == "application/rtf":
        pieces = rtf(media, most)
    else:
        return ""
    found: list[str] = []
    size = 0
    with suppress(*DAMAGE):
        for piece in pieces:
            found.append(piece)
            size += len(piece)
            if size >= most:
                break
    return text(" ".join(found), most)


def pages(media: int) -> Iterator[str]:
    with open_pdf(media) as document:
        for number in range(1, min(len(document), MAX_PAGES) + 1):
            yield page_text(document, number).decode()


def rtf(media: int, most: int) -> Iterator[str]:
    with mmap.mmap(media, 0, access=mmap.ACCESS_READ) as data:
        yield rtf_text(data, most)


def parts(media: int, beginning: str) -> Iterator[str]:
    with os.fdopen(os.dup(media), "rb") as file, zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.startswith(beginning)]
        for name in islice(sorted(names, key=len), MAX_PARTS):
            with archive.open(name) as part:
                xml = part.read(MAX_PART_BYTES).decode(errors="ignore")
            yield " ".join(unescape(ELEMENT.sub("", ENDS.sub(r" \g<0>", xml))).split())
