"""`resize`: resizes."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.crop_area import crop_to
from media_service.codecs.image.geometry import align, color, embed, resized
from media_service.codecs.image.operations import Context, Image
from media_service.codecs.pipeline.sizes import resize_sizes

Fit = Operation.Resize
SIZES = "sizes"


def apply(image: Image, p: Operation.Resize, context: Context) -> Image:
    # If the image was decoded in the target size, the sizes depend on its original size.
    decided = context.decided.get(SIZES)
    scaled, (width, height) = decided or resize_sizes(p, (image.width, image.height))
    image = resized(image, scaled)
    if p.fit == Fit.COVER:
        return crop_to(image, width, height, p, context)
    if p.fit == Fit.CONTAIN and scaled != (width, height):
        corner = align(p.gravity, (width, height), scaled)
        return embed(image, corner, (width, height), color(p.background))
    return image
