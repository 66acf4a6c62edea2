"""Inspects PDF documents with PDFium."""

import ctypes
import os
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from media_service.codecs.inspect.limits import MAX_VALUE
from media_service.errors import InvalidArgument, Reason

# An encrypted document is valid, but shows no metadata.
ENCRYPTED = {pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY}


def describe(media: int) -> dict[str, Any]:
    """Returns the fields of DocumentInfo; none for an encrypted document.

    Raises InvalidArgument (MEDIA_CORRUPT).
    """
    with os.fdopen(os.dup(media), "rb") as file:
        try:
            document = pdfium.PdfDocument(file)
        except pdfium.PdfiumError as error:
            if error.err_code in ENCRYPTED:
                return {}
            raise InvalidArgument(Reason.MEDIA_CORRUPT, "The document cannot be read.") from None
        with document:
            return document_info(document)


def document_info(document: Any) -> dict[str, Any]:
    try:
        width, height = document.get_page_size(0)
    except pdfium.PdfiumError:
        raise InvalidArgument(Reason.MEDIA_CORRUPT, "The document has no readable page.") from None
    return {
        "page_count": len(document),
        "page_width": round(width, 3),
        "page_height": round(height, 3),
        "title": metadata_text(document, b"Title"),
        "author": metadata_text(document, b"Author"),
    }


def metadata_text(document: Any, name: bytes) -> str:
    """An entry of the document's metadata. pypdfium2 itself would raise for invalid text."""
    size = pdfium_c.FPDF_GetMetaText(document, name, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium_c.FPDF_GetMetaText(document, name, buffer, size)
    return buffer.raw.decode("utf-16-le", "replace").strip("\0 ")[:MAX_VALUE]
