"""Light and dark further apart, or nearer."""

from media.v1.operation_pb2 import Operation

from media_service.processing.image.colours import effects
from media_service.processing.image.colours.steps import run
from media_service.processing.image.operations import Context, Image, operation


@operation("contrast")
def contrast(image: Image, p: Operation.Contrast, _: Context) -> Image:
    return run(image, [effects.contrast(p.factor)])
