"""`rotate`: rotates clockwise."""

import pyvips
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import color, over_background, with_alpha
from media_service.codecs.image.operations import Context, Image

RIGHT_ANGLES = {90: "rot90", 180: "rot180", 270: "rot270"}


def apply(image: Image, p: Operation.Rotate, _: Context) -> Image:
    degrees = p.degrees % 360
    if degrees == 0:
        return image
    image = image.copy_memory()
    if degrees in RIGHT_ANGLES:
        return getattr(image, RIGHT_ANGLES[int(degrees)])()
    background = color(p.background)
    # A fifth band holds the coverage: how much of each pixel the image covers.
    bands = with_alpha(image).premultiply().bandjoin(255)
    smooth = pyvips.Interpolate.new("bicubic")
    rotated = bands.similarity(angle=degrees, interpolate=smooth, background=[0] * 5)
    result = over_background(rotated[0:4], rotated[4], background)
    opaque = background[3] == 255 and not image.hasalpha()
    return result[0:3] if opaque else result
