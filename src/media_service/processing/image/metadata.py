"""What stays of a picture's metadata."""

from collections.abc import Mapping

import pyvips

from media_service.processing.image.geometry import Image

# The picture's tags, and the camera's; never those of places and of thumbnails.
KEPT = ("exif-ifd0-", "exif-ifd2-")
# Of the file that it was; and what nobody but a maker reads, who may have written anything there.
DROPPED = {
    *("Orientation", "ImageWidth", "ImageLength", "PixelXDimension", "PixelYDimension"),
    *("MakerNote", "Padding", "XMLPacket", "PrintImageMatching", "InterColorProfile"),
    *("XResolution", "YResolution", "ResolutionUnit"),
}


def with_exif(image: Image, exif: Mapping[str, str]) -> Image:
    """With these tags, as libvips names them, that may be kept, and with no others: they are
    written anew, so that nothing of the old block comes along."""
    image = image.copy()
    for field in image.get_fields():
        if field.startswith("exif-"):
            image.remove(field)
    for field, text in exif.items():
        name = next((field.removeprefix(k) for k in KEPT if field.startswith(k)), "GPS")
        if name not in DROPPED and not name.startswith("GPS"):
            image.set_type(pyvips.GValue.gstr_type, field, text)
    return image
