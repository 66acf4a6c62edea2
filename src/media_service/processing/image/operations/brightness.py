"""Brighter or darker."""

from media.v1.operation_pb2 import Operation

from media_service.processing.image.colours import effects
from media_service.processing.image.colours.steps import run
from media_service.processing.image.operations import Context, Image, operation


@operation("brightness")
def brightness(image: Image, p: Operation.Brightness, _: Context) -> Image:
    return run(image, [effects.brightness(p.factor)])
