"""`sepia`: tints the image brown, like an old photograph."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.colors import effects
from media_service.codecs.image.colors.steps import run
from media_service.codecs.image.operations import Context, Image


def apply(image: Image, p: Operation.Sepia, _: Context) -> Image:
    return run(image, [effects.sepia(p.amount)])
