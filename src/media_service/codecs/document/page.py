"""Renders a page of a PDF. Runs in a child process."""

import math

import pyvips
from pypdfium2 import PdfBitmap

from media_service.codecs.document.pdf import corrupt, open_page, open_pdf

# PDFium rounds sizes up. Without this factor a rounding error would add a pixel.
NEARLY_ONE = 1 - 1e-9


def draw_page(media: int, output: int, *, number: int, size: int) -> tuple[int, int]:
    """Writes page `number` to `output` as a PNG: upright, on white, with form fields and
    annotations. Its longer side is `size` pixels, so the memory needed does not depend on the page.
    Returns its width and height.

    Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (OPERATION_NOT_APPLICABLE,
    DOCUMENT_ENCRYPTED).
    """
    with open_pdf(media) as document:
        document.init_forms()  # form fields are drawn only if this precedes the first page
        with open_page(document, number) as page:
            longest = max(page.get_size())
            if not 0 < longest < math.inf:
                raise corrupt(f"Page {number} of the document has no size.")
            bitmap = page.render(scale=size / longest * NEARLY_ONE, rev_byteorder=True)
    return write_png(bitmap, output)


def write_png(bitmap: PdfBitmap, output: int) -> tuple[int, int]:
    width, height = bitmap.width, bitmap.height
    image = pyvips.Image.new_from_memory(bitmap.buffer, width, height, bitmap.n_channels, "uchar")
    image = image.copy(interpretation="srgb")
    image.write_to_target(pyvips.Target.new_to_descriptor(output), ".png", compression=1)
    return width, height
