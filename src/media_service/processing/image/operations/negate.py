"""Colours into their opposites."""

from media.v1.operation_pb2 import Operation

from media_service.processing.image.colours import effects
from media_service.processing.image.colours.steps import run
from media_service.processing.image.operations import Context, Image, operation


@operation("negate")
def negate(image: Image, _: Operation.Negate, __: Context) -> Image:
    return run(image, [effects.negate()])
