"""A border around it."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import color, framed
from media_service.codecs.image.operations import Context, Image, operation


@operation("pad")
def pad(image: Image, p: Operation.Pad, _: Context) -> Image:
    right = p.right if p.HasField("right") else p.top
    bottom = p.bottom if p.HasField("bottom") else p.top
    left = p.left if p.HasField("left") else right
    size = (left + image.width + right, p.top + image.height + bottom)
    return framed(image, (left, p.top), size, color(p.background))
