"""Renders a page of a PDF. Runs in a child process."""

import math

import pyvips
from pypdfium2 import PdfBitmap

from media_service.codecs.document.pdf import corrupt, open_page, open_pdf
from media_service.codecs.image.geometry import Image

# PDFium rounds sizes up. Without this factor a rounding error would add a pixel.
NEARLY_ONE = 1 - 1e-9
# The longer side of a page that is drawn to confirm that it is blank.
SMALL_SIZE = 64


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
            image = as_image(page.render(scale=size / longest * NEARLY_ONE, rev_byteorder=True))
            if is_blank(image):
                small = page.render(scale=SMALL_SIZE / longest * NEARLY_ONE, rev_byteorder=True)
                check_blank(as_image(small), number, size)
    image.write_to_target(pyvips.Target.new_to_descriptor(output), ".png", compression=1)
    return image.width, image.height


def as_image(bitmap: PdfBitmap) -> Image:
    width, height = bitmap.width, bitmap.height
    image = pyvips.Image.new_from_memory(bitmap.buffer, width, height, bitmap.n_channels, "uchar")
    return image.copy(interpretation="srgb")


def is_blank(image: Image) -> bool:
    """Whether all pixels are the same gray."""
    return bool(image.min() == image.max())


def check_blank(small: Image, number: int, size: int) -> None:
    """Checks that a page that is blank in the requested size is also blank in a small size, in
    which PDFium draws what it leaves out at its own limits. Raises InvalidArgument
    (MEDIA_CORRUPT)."""
    if not is_blank(small):
        raise corrupt(f"Page {number} of the document cannot be drawn with {size} pixels.")
