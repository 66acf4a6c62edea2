"""`blur`: blurs."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.gaussian_blur import blurred
from media_service.codecs.image.operations import Context, Image


def apply(image: Image, p: Operation.Blur, _: Context) -> Image:
    return blurred(image, p.sigma)
