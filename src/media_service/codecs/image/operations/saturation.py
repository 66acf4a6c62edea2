"""Stronger or weaker colours."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.colors import effects
from media_service.codecs.image.colors.steps import run
from media_service.codecs.image.operations import Context, Image, operation


@operation("saturation")
def saturation(image: Image, p: Operation.Saturation, _: Context) -> Image:
    return run(image, [effects.saturate(p.factor)])
