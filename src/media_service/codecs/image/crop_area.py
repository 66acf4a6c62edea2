"""Chooses the area that a crop keeps."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import SMART_GRAVITIES, Image, align, center_on
from media_service.codecs.image.operations import Context


def crop_to(
    image: Image, width: int, height: int, p: Operation.Resize | Operation.Crop, context: Context
) -> Image:
    """Crops to this size at the position that `p`, a Resize or a Crop, specifies. In an animation,
    the first frame determines the position for all frames."""
    if "crop" not in context.decided:
        size, area = (image.width, image.height), (width, height)
        if p.HasField("focal_x"):
            context.decided["crop"] = center_on((p.focal_x, p.focal_y), size, area)
        elif size != area and p.gravity in SMART_GRAVITIES:
            image = image.copy_memory()  # it is read twice: for the analysis and the crop
            found = image.smartcrop(width, height, interesting=SMART_GRAVITIES[p.gravity])
            context.decided["crop"] = (-found.xoffset, -found.yoffset)
        else:
            context.decided["crop"] = align(p.gravity, size, area)
    left, top = context.decided["crop"]
    return image.crop(left, top, width, height)
