"""Extracts the text of a PDF. Runs in a child process."""

import os
import re
from collections.abc import Callable
from typing import Any

from media_service.codecs.document.pdf import open_page, open_pdf
from media_service.errors import InvalidArgument, Reason

MAX_PAGES = 100_000
PAGE_END = b"\f"
# Control characters, and form feeds, which end pages. PDFium returns a control character for a
# hyphen that only breaks a word at the end of a line.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")


def extract_text(
    media: int,
    output: int,
    *,
    page: int | None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Writes the text of a page (counted from 1), or of all pages, to `output`. A form feed ends
    each page.

    Raises InvalidArgument (MEDIA_CORRUPT, PROCESSING_LIMIT_EXCEEDED), FailedPrecondition
    (OPERATION_NOT_APPLICABLE, DOCUMENT_ENCRYPTED).
    """
    with open_pdf(media) as document, os.fdopen(os.dup(output), "wb") as file:
        numbers = [page] if page else range(1, len(document) + 1)
        if len(numbers) > MAX_PAGES:
            message = f"The document has {len(numbers)} pages; the limit is {MAX_PAGES}."
            raise InvalidArgument(
                Reason.PROCESSING_LIMIT_EXCEEDED, message, limit="pages", value=MAX_PAGES
            )
        for done, number in enumerate(numbers, 1):
            file.write(page_text(document, number))
            if progress:
                progress(100 * done / len(numbers))


def page_text(document: Any, number: int) -> bytes:
    with open_page(document, number) as page:
        text = page.get_textpage().get_text_bounded()
    return CONTROL.sub("", text).encode(errors="ignore") + PAGE_END
