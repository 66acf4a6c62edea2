"""A part of the picture."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.crop_area import cut
from media_service.codecs.image.operations import Context, Image, operation
from media_service.errors import FailedPrecondition, Reason


@operation("crop")
def crop(image: Image, p: Operation.Crop, frame: Context) -> Image:
    width = min(p.width or image.width, image.width)
    height = min(p.height or image.height, image.height)
    if not p.HasField("x"):
        return cut(image, width, height, p, frame)
    if p.x >= image.width or p.y >= image.height:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"A crop at {p.x}, {p.y} is outside of {image.width} × {image.height} pixels.",
        )
    return image.crop(p.x, p.y, min(width, image.width - p.x), min(height, image.height - p.y))
