"""Clearer edges: what a blur takes away is added once more."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.colors.effects import GRAY
from media_service.codecs.image.gaussian_blur import blurred
from media_service.codecs.image.operations import Context, Image, operation


@operation("sharpen")
def sharpen(image: Image, p: Operation.Sharpen, _: Context) -> Image:
    light = image[0:3].recomb([list(GRAY)]).rint().cast("uchar")
    if image.bands == 4:  # what is transparent must not shine through
        light = light.bandjoin(image[3]).copy(interpretation="b-w")
    # To all channels alike: colours that differ only in noise do not drift apart.
    edges = light[0] - blurred(light, p.sigma)[0]
    if p.amount != 1:  # whole numbers are added in half the time
        edges = edges * p.amount
    colors = (image[0:3] + edges).rint().cast("uchar")
    return colors.bandjoin(image[3]) if image.bands == 4 else colors
