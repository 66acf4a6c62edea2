"""The unit of a page of a PDF. PDFium neither applies nor tells it."""

import io
import mmap
import re
import zlib
from contextlib import suppress
from typing import Any

import pypdfium2 as pdfium

UNIT = re.compile(rb"/UserUnit\s+(\d+(?:\.\d*)?|\.\d+)")
# A compressed stream of objects, which may be pages.
OBJECT_STREAM = re.compile(rb"/ObjStm\b.{0,1000}?stream\r?\n", re.DOTALL)
# Bytes of one stream of objects, and of all together, that are searched.
STREAM_BYTES, ALL_BYTES = 4 << 20, 64 << 20
MAX_UNIT = 75_000  # the largest that readers accept


def first_unit(media: int, document: Any) -> float:
    """Returns the number of points in a unit of the first page."""
    if not mentions_unit(media):
        return 1.0
    found = None
    with suppress(pdfium.PdfiumError), pdfium.PdfDocument.new() as copy:
        # PDFium writes the entries of the page as plain text.
        copy.import_pages(document, [0])
        copy.save(written := io.BytesIO())
        found = UNIT.search(written.getbuffer())
    unit = float(found[1]) if found else 1.0
    return unit if 0 < unit <= MAX_UNIT else 1.0


def mentions_unit(media: int) -> bool:
    """Whether any page may have a unit. Copying a page can take long, and few files need it."""
    with mmap.mmap(media, 0, access=mmap.ACCESS_READ) as data:
        if UNIT.search(data):
            return True
        searched = 0
        for start in OBJECT_STREAM.finditer(data):
            objects = inflated(data[start.end() : start.end() + STREAM_BYTES])
            searched += len(objects)
            if UNIT.search(objects):
                return True
            if searched > ALL_BYTES:
                break
    return False


def inflated(data: bytes) -> bytes:
    """Returns the beginning of the data, decompressed, or nothing if it is not compressed."""
    try:
        return zlib.decompressobj().decompress(data, STREAM_BYTES)
    except zlib.error:
        return b""
