"""Colours turned around the colour wheel."""

from media.v1.operation_pb2 import Operation

from media_service.processing.image.colours import effects
from media_service.processing.image.colours.steps import run
from media_service.processing.image.operations import Context, Image, operation


@operation("hue")
def hue(image: Image, p: Operation.Hue, _: Context) -> Image:
    return run(image, [effects.hue_rotate(p.degrees)])
