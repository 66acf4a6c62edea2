"""Opens PDF documents with PDFium, which runs no scripts and fetches nothing."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ctypes import POINTER, c_char, c_char_p, cast
from typing import Any

import pypdfium2
from pypdfium2 import raw

from media_service.codecs.sandbox.fonts import CJK_FONTS
from media_service.errors import FailedPrecondition, InvalidArgument, Reason

ENCRYPTED = {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY}

# The folders of fonts for text whose font is not in the document, ended by a null pointer.
FONT_FOLDERS = (c_char_p * 2)(os.fsencode(CJK_FONTS), None)


@contextmanager
def open_pdf(media: int) -> Iterator[Any]:
    """Opens the document of the file descriptor `media`, and reads only the parts it needs.

    Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (DOCUMENT_ENCRYPTED).
    """
    use_fonts()
    with os.fdopen(os.dup(media), "rb") as file:
        try:
            document = pypdfium2.PdfDocument(file)
        except pypdfium2.PdfiumError as error:
            if error.err_code in ENCRYPTED:
                message = "The document is encrypted; opening it needs a password or a key."
                raise FailedPrecondition(Reason.DOCUMENT_ENCRYPTED, message) from None
            raise corrupt("The document cannot be read: it is damaged.") from error
        with closing(document):
            yield document


def use_fonts() -> None:
    """Makes PDFium look for fonts only in FONT_FOLDERS. No document may be open."""
    raw.FPDF_DestroyLibrary()
    folders = cast(FONT_FOLDERS, POINTER(POINTER(c_char)))
    raw.FPDF_InitLibraryWithConfig(raw.FPDF_LIBRARY_CONFIG(version=2, m_pUserFontPaths=folders))


@contextmanager
def open_page(document: Any, number: int) -> Iterator[Any]:
    """Opens a page, counted from 1.

    Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (OPERATION_NOT_APPLICABLE).
    """
    count = len(document)
    if number > count:
        message = f"The document has no page {number}; it has {count} pages."
        raise FailedPrecondition(Reason.OPERATION_NOT_APPLICABLE, message)
    try:
        page = document[number - 1]
    except pypdfium2.PdfiumError:
        raise corrupt(f"Page {number} of the document cannot be read.") from None
    with closing(page):
        yield page


def corrupt(message: str) -> InvalidArgument:
    return InvalidArgument(Reason.MEDIA_CORRUPT, message)
