"""`contrast`: changes the contrast."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.colors import effects
from media_service.codecs.image.colors.steps import run
from media_service.codecs.image.operations import Context, Image


def apply(image: Image, p: Operation.Contrast, _: Context) -> Image:
    return run(image, [effects.contrast(p.factor)])
