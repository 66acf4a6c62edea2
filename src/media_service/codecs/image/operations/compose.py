"""Another picture over this one, at a place and in a size of its own."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import Size, resized
from media_service.codecs.image.operations import Context, Image, operation
from media_service.codecs.image.overlay import blended, over
from media_service.errors import FailedPrecondition, Reason

# As wide and high as pictures of the contract can be.
LONGEST = 65535


@operation("compose")
def compose(image: Image, p: Operation.Compose, context: Context) -> Image:
    layer = context.overlays[p.media_id]
    layer = resized(layer, wanted(p, (layer.width, layer.height)))
    corner = (p.x, p.y)
    if p.blend != Operation.Compose.OVER:
        mode = Operation.Compose.Blend.Name(p.blend).lower().replace("_", "-")
        layer = blended(image, layer, corner, mode.replace("color-", "colour-"))
        corner = (0, 0)
    return over(image, layer, corner, p.opacity)


def wanted(p: Operation.Compose, own: Size) -> Size:
    """Raises FailedPrecondition (OPERATION_NOT_APPLICABLE)."""
    width, height = p.width, p.height
    if not width:
        width = max(1, round(own[0] * height / own[1])) if height else own[0]
    if not height:
        height = max(1, round(own[1] * width / own[0]))
    if max(width, height) > LONGEST:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"The picture to be laid over it would be {width}x{height} pixels large.",
        )
    return width, height
