"""One colour for everything, from black over the colour to white."""

from media.v1.operation_pb2 import Operation

from media_service.processing.image.colours import effects
from media_service.processing.image.colours.steps import run
from media_service.processing.image.operations import Context, Image, operation


@operation("tint")
def tint(image: Image, p: Operation.Tint, _: Context) -> Image:
    return run(image, [effects.color_of(p.color, p.amount)])
