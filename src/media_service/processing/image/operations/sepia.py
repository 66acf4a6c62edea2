"""The brown of old photographs."""

from media.v1.operation_pb2 import Operation

from media_service.processing.image.colours import effects
from media_service.processing.image.colours.steps import run
from media_service.processing.image.operations import Context, Image, operation


@operation("sepia")
def sepia(image: Image, p: Operation.Sepia, _: Context) -> Image:
    return run(image, [effects.sepia(p.amount)])
