"""Turned clockwise."""

import pyvips
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import color, mixed, with_alpha
from media_service.codecs.image.operations import Context, Image, operation

RIGHT_ANGLES = {90: "rot90", 180: "rot180", 270: "rot270"}


@operation("rotate")
def rotate(image: Image, p: Operation.Rotate, _: Context) -> Image:
    degrees = p.degrees % 360
    if degrees == 0:
        return image
    image = image.copy_memory()
    if degrees in RIGHT_ANGLES:
        return getattr(image, RIGHT_ANGLES[int(degrees)])()
    background = color(p.background)
    # A fifth band tells where the picture is, and how much of each pixel at its edges.
    whole = with_alpha(image).premultiply().bandjoin(255)
    smooth = pyvips.Interpolate.new("bicubic")
    turned = whole.similarity(angle=degrees, interpolate=smooth, background=[0] * 5)
    result = mixed(turned[0:4], turned[4], background)
    opaque = background[3] == 255 and not image.hasalpha()
    return result[0:3] if opaque else result
