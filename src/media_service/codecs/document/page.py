"""A page of a document as a picture. Runs in a child."""

import math

import pyvips
from pypdfium2 import PdfBitmap

from media_service.codecs.document.pdf import corrupt, opened, page_of

# The library rounds up: without this little less, a rounding error would be a pixel more.
NEARLY = 1 - 1e-9


def draw(media: int, output: int, *, number: int, size: int) -> tuple[int, int]:
    """Writes a PNG, on white, upright, with what is filled into forms and noted in margins. Its
    longer side has `size` pixels, so no page takes more memory than another. Returns its size.

    Raises InvalidArgument (MEDIA_CORRUPT), FailedPrecondition (OPERATION_NOT_APPLICABLE,
    DOCUMENT_ENCRYPTED).
    """
    with opened(media) as document:
        document.init_forms()  # before the first page, or they are not drawn
        with page_of(document, number) as page:
            longest = max(page.get_size())
            if not 0 < longest < math.inf:
                raise corrupt(f"Page {number} of the document has no size.")
            bitmap = page.render(scale=size / longest * NEARLY, rev_byteorder=True)
    return write(bitmap, output)


def write(bitmap: PdfBitmap, output: int) -> tuple[int, int]:
    width, height = bitmap.width, bitmap.height
    image = pyvips.Image.new_from_memory(bitmap.buffer, width, height, bitmap.n_channels, "uchar")
    image = image.copy(interpretation="srgb")
    image.write_to_target(pyvips.Target.new_to_descriptor(output), ".png", compression=1)
    return width, height
