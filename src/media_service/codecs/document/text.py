"""The text of a document. Runs in a child."""

import os
import re
from collections.abc import Callable
from typing import Any

from media_service.codecs.document.pdf import opened, page_of
from media_service.errors import InvalidArgument, Reason

MOST_PAGES = 100_000
PAGE_END = b"\f"
# Whatever is no text; of a form feed there is one for each page. PDFium has a control character in
# place of a hyphen that only breaks a word at the end of a line.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")


def extract(
    media: int,
    output: int,
    *,
    page: int | None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Writes the text of a page (the first is 1), or of all, each ended by a form feed.

    Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (OPERATION_NOT_APPLICABLE,
    DOCUMENT_ENCRYPTED), InvalidArgument (PROCESSING_LIMIT_EXCEEDED).
    """
    with opened(media) as document, os.fdopen(os.dup(output), "wb") as file:
        numbers = [page] if page else range(1, len(document) + 1)
        if len(numbers) > MOST_PAGES:
            message = f"The document has {len(numbers)} pages, and at most {MOST_PAGES} are read."
            raise InvalidArgument(Reason.PROCESSING_LIMIT_EXCEEDED, message)
        for done, number in enumerate(numbers, 1):
            file.write(text_of(document, number))
            if progress:
                progress(100 * done / len(numbers))


def text_of(document: Any, number: int) -> bytes:
    with page_of(document, number) as page:
        text = page.get_textpage().get_text_bounded()
    return CONTROL.sub("", text).encode(errors="ignore") + PAGE_END
