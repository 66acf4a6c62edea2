"""`round_corners`: rounds the corners."""

import pyvips
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import color, over_background, with_alpha
from media_service.codecs.image.operations import Context, Image


def apply(image: Image, p: Operation.RoundCorners, _: Context) -> Image:
    radius = min(p.radius, image.width // 2, image.height // 2)
    if radius == 0:
        return image
    shape = rectangle(image.width, image.height, radius)
    if not p.HasField("background"):
        if image.hasalpha():
            shape = (image[3] * shape / 255).cast("uchar")
            image = image[0:3]
        return image.bandjoin(shape).copy(interpretation="srgb")
    background = color(p.background)
    if background[3] == 255 and not image.hasalpha():
        return shape.ifthenelse(image, background[:3], blend=True)
    return over_background(with_alpha(image).premultiply() * (shape / 255), shape, background)


def rectangle(width: int, height: int, radius: int) -> Image:
    """A mask with round corners: 255 inside, 0 outside, and antialiased."""
    centers = pyvips.Image.xyz(radius, radius) + 0.5
    squares = ((centers - radius) ** 2).bandmean() * 2
    corner = ((squares**0.5 * -1 + radius + 0.5) * 255).cast("uchar").copy_memory()
    shape = (pyvips.Image.black(width, height) + 255).cast("uchar")
    right, bottom = width - radius, height - radius
    shape = shape.insert(corner, 0, 0).insert(corner.fliphor(), right, 0)
    return shape.insert(corner.flipver(), 0, bottom).insert(corner.rot180(), right, bottom)
