"""Inspects PDF documents with PDFium."""

import ctypes
import os
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from media_service.codecs.inspect.limits import count, text
from media_service.codecs.inspect.pdf_end import check_end, truncated
from media_service.codecs.inspect.user_unit import first_unit
from media_service.codecs.inspection import DocumentInfo, FileWarning
from media_service.codecs.limits import MAX_PAGES
from media_service.errors import InvalidArgument, Reason

# An encrypted document is valid, but shows no metadata.
ENCRYPTED = {pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY}


def describe(media: int) -> DocumentInfo:
    """Returns what the document says about itself: nothing if it is encrypted.

    Raises InvalidArgument (MEDIA_CORRUPT).
    """
    warnings = check_end(media)
    with os.fdopen(os.dup(media), "rb") as file:
        try:
            document = pdfium.PdfDocument(file)
        except pdfium.PdfiumError as error:
            if error.err_code in ENCRYPTED:
                return DocumentInfo(warnings=warnings)
            if "END_MISSING" in warnings:
                raise truncated() from None
            raise InvalidArgument(Reason.MEDIA_CORRUPT, "The document cannot be read.") from None
        with document:
            info = document_info(media, document, warnings)
            if "END_MISSING" in warnings:
                check_pages(document)
            return info


def document_info(media: int, document: Any, warnings: tuple[FileWarning, ...]) -> DocumentInfo:
    try:
        width, height = document.get_page_size(0)
    except pdfium.PdfiumError:
        raise InvalidArgument(Reason.MEDIA_CORRUPT, "The document has no readable page.") from None
    unit = first_unit(media, document)
    return DocumentInfo(
        page_count=count(len(document)),
        page_width=round(width * unit, 3),
        page_height=round(height * unit, 3),
        title=metadata_text(document, b"Title"),
        author=metadata_text(document, b"Author"),
        warnings=warnings,
    )


def check_pages(document: Any) -> None:
    """Raises InvalidArgument (MEDIA_CORRUPT) if a page is missing."""
    try:
        for number in range(min(len(document), MAX_PAGES)):
            document.get_page_size(number)
    except pdfium.PdfiumError:
        raise truncated() from None


def metadata_text(document: Any, name: bytes) -> str:
    """An entry of the document's metadata. pypdfium2 itself would raise for invalid text."""
    size = pdfium_c.FPDF_GetMetaText(document, name, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium_c.FPDF_GetMetaText(document, name, buffer, size)
    return text(buffer.raw.decode("utf-16-le", "replace").strip("\0 "))
