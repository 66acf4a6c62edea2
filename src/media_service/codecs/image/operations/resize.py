"""Another size."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.crop_area import cut
from media_service.codecs.image.geometry import color, framed, place, resized
from media_service.codecs.image.operations import Context, Image, operation
from media_service.codecs.pipeline.sizes import sizes

Fit = Operation.Resize
SIZES = "sizes"


@operation("resize")
def resize(image: Image, p: Operation.Resize, frame: Context) -> Image:
    # What the picture was opened for is decided already, by its size before that.
    scaled, (width, height) = frame.decided.get(SIZES) or sizes(p, (image.width, image.height))
    image = resized(image, scaled)
    if p.fit == Fit.COVER:
        return cut(image, width, height, p, frame)
    if p.fit == Fit.CONTAIN and scaled != (width, height):
        corner = place(p.gravity, (width, height), scaled)
        return framed(image, corner, (width, height), color(p.background))
    return image
