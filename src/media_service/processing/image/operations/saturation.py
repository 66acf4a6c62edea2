"""Stronger or weaker colours."""

from media.v1.operation_pb2 import Operation

from media_service.processing.image.colours import effects
from media_service.processing.image.colours.steps import run
from media_service.processing.image.operations import Context, Image, operation


@operation("saturation")
def saturation(image: Image, p: Operation.Saturation, _: Context) -> Image:
    return run(image, [effects.saturate(p.factor)])
