"""`sharpen`: sharpens by amplifying the details that a blur would remove."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.colors.effects import GRAY
from media_service.codecs.image.gaussian_blur import blurred
from media_service.codecs.image.operations import Context, Image


def apply(image: Image, p: Operation.Sharpen, _: Context) -> Image:
    light = image[0:3].recomb([list(GRAY)]).rint().cast("uchar")
    if image.bands == 4:  # transparent areas must not bleed in
        light = light.bandjoin(image[3]).copy(interpretation="b-w")
    # The same for all channels, so that noise does not turn into color.
    edges = light[0] - blurred(light, p.sigma)[0]
    if p.amount != 1:  # integers add twice as fast
        edges = edges * p.amount
    colors = (image[0:3] + edges).rint().cast("uchar")
    return colors.bandjoin(image[3]) if image.bands == 4 else colors
