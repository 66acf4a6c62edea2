"""Brighter or darker middle tones."""

from media.v1.operation_pb2 import Operation

from media_service.processing.image.colours import effects
from media_service.processing.image.colours.steps import run
from media_service.processing.image.operations import Context, Image, operation


@operation("gamma")
def gamma(image: Image, p: Operation.Gamma, _: Context) -> Image:
    return run(image, [effects.gamma(p.gamma)])
