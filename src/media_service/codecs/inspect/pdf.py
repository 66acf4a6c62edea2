"""PDF documents, as PDFium reads them."""

import ctypes
import os
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from media_service.codecs.inspect.limits import MAX_VALUE
from media_service.errors import InvalidArgument, Reason

# It is whole, and those who have its key can read it: nothing to refuse, and nothing to tell.
LOCKED = {pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY}


def describe(media: int) -> dict[str, Any]:
    """DocumentInfo's fields; none of a document that cannot be read without its password.

    Raises InvalidArgument (MEDIA_CORRUPT).
    """
    with os.fdopen(os.dup(media), "rb") as file:
        try:
            document = pdfium.PdfDocument(file)
        except pdfium.PdfiumError as error:
            if error.err_code in LOCKED:
                return {}
            raise InvalidArgument(Reason.MEDIA_CORRUPT, "The document cannot be read.") from None
        with document:
            return facts(document)


def facts(document: Any) -> dict[str, Any]:
    try:
        width, height = document.get_page_size(0)
    except pdfium.PdfiumError:
        raise InvalidArgument(Reason.MEDIA_CORRUPT, "The document has no page to read.") from None
    return {
        "page_count": len(document),
        "page_width": round(width, 3),
        "page_height": round(height, 3),
        "title": said(document, b"Title"),
        "author": said(document, b"Author"),
    }


def said(document: Any, name: bytes) -> str:
    """What the document says of itself. Files hold text that is none: pypdfium2 would raise."""
    size = pdfium_c.FPDF_GetMetaText(document, name, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium_c.FPDF_GetMetaText(document, name, buffer, size)
    return buffer.raw.decode("utf-16-le", "replace").strip("\0 ")[:MAX_VALUE]
