"""`crop`: crops."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.crop_area import crop_to
from media_service.codecs.image.operations import Context, Image
from media_service.errors import FailedPrecondition, Reason


def apply(image: Image, p: Operation.Crop, context: Context) -> Image:
    width = min(p.width or image.width, image.width)
    height = min(p.height or image.height, image.height)
    if not p.HasField("x"):
        return crop_to(image, width, height, p, context)
    if p.x >= image.width or p.y >= image.height:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"The crop at {p.x}, {p.y} is outside the image,"
            f" which has {image.width} × {image.height} pixels.",
        )
    return image.crop(p.x, p.y, min(width, image.width - p.x), min(height, image.height - p.y))
