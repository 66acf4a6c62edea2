"""`tint`: maps all colors to shades of one color, from black to white."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.colors import effects
from media_service.codecs.image.colors.steps import run
from media_service.codecs.image.operations import Context, Image


def apply(image: Image, p: Operation.Tint, _: Context) -> Image:
    return run(image, [effects.color_of(p.color, p.amount)])
