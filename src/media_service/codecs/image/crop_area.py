"""Which part of a picture stays when it is cut."""

from typing import Any

from media_service.codecs.image.geometry import CLEVER, Image, around, place
from media_service.codecs.image.operations import Context


def cut(image: Image, width: int, height: int, p: Any, frame: Context) -> Image:
    """A part of this size, where `p`, a Resize or a Crop, wants it; of an animation, what is right
    for its first frame."""
    if "cut" not in frame.decided:
        whole, part = (image.width, image.height), (width, height)
        if p.HasField("focal_x"):
            frame.decided["cut"] = around((p.focal_x, p.focal_y), whole, part)
        elif whole != part and p.gravity in CLEVER:
            image = image.copy_memory()  # it is looked at, and then read again
            found = image.smartcrop(width, height, interesting=CLEVER[p.gravity])
            frame.decided["cut"] = (-found.xoffset, -found.yoffset)
        else:
            frame.decided["cut"] = place(p.gravity, whole, part)
    left, top = frame.decided["cut"]
    return image.crop(left, top, width, height)
