"""The unit of a page of a PDF. PDFium neither applies nor tells it."""

import io
import mmap
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import pypdfium2 as pdfium

UNIT = re.compile(rb"/UserUnit\s+(\d+(?:\.\d*)?|\.\d+)")
# What is in the dictionary of a compressed stream of objects, which may be pages, and what ends it.
OBJECT_STREAM, DICTIONARY_END = re.compile(rb"/ObjStm\b"), re.compile(rb"stream\r?\n")
DICTIONARY_BYTES = 1000
# The search ends after this many streams, compressed bytes, or decompressed bytes.
MAX_STREAMS, READ_BYTES, ALL_BYTES = 10_000, 16 << 20, 64 << 20
# Bytes of one stream that are read, and that are searched.
STREAM_BYTES = 4 << 20
# A stream is decompressed in parts of this size, because its length is unknown.
PART_BYTES = 16 << 10
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
        return any(UNIT.search(objects) for objects in object_streams(data))


def object_streams(data: Any) -> Iterator[bytearray]:
    """Yields the beginnings of the first streams of objects, decompressed."""
    read = written = 0
    for name in islice(OBJECT_STREAM.finditer(data), MAX_STREAMS):
        start = DICTIONARY_END.search(data, name.end(), name.end() + DICTIONARY_BYTES)
        if start is None:
            continue
        taken, objects = inflated(data, start.end())
        yield objects
        read += taken
        written += len(objects)
        if read > READ_BYTES or written > ALL_BYTES:
            return


def inflated(data: Any, start: int) -> tuple[int, bytearray]:
    """Decompresses the beginning of the stream at `start`. Returns the number of its bytes that
    were read, and the decompressed bytes: none if the stream is not compressed."""
    decompressor = zlib.decompressobj()
    taken, objects = 0, bytearray()
    with suppress(zlib.error):
        while not decompressor.eof and max(taken, len(objects)) < STREAM_BYTES:
            part = data[start + taken : start + taken + PART_BYTES]
            taken += len(part)
            if not part:
                break
            objects += decompressor.decompress(part, STREAM_BYTES - len(objects))
    return taken - len(decompressor.unused_data), objects
