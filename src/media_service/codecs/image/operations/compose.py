"""`compose`: draws another image over this one, at a given position and size."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import Size, resized
from media_service.codecs.image.operations import Context, Image
from media_service.codecs.image.overlay import blended, over
from media_service.errors import FailedPrecondition, Reason

# The maximum length of a side in the API.
MAX_SIDE = 65535


def apply(image: Image, p: Operation.Compose, context: Context) -> Image:
    layer = context.overlays[p.media_id]
    layer = resized(layer, layer_size(p, (layer.width, layer.height)))
    corner = (p.x, p.y)
    if p.blend != Operation.Compose.OVER:
        mode = Operation.Compose.Blend.Name(p.blend).lower().replace("_", "-")
        layer = blended(image, layer, corner, mode.replace("color-", "colour-"))
        corner = (0, 0)
    return over(image, layer, corner, p.opacity)


def layer_size(p: Operation.Compose, own: Size) -> Size:
    """Raises FailedPrecondition (OPERATION_NOT_APPLICABLE)."""
    width, height = p.width, p.height
    if not width:
        width = max(1, round(own[0] * height / own[1])) if height else own[0]
    if not height:
        height = max(1, round(own[1] * width / own[0]))
    if max(width, height) > MAX_SIDE:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"The overlay would have {width} × {height} pixels; the limit is {MAX_SIDE} per side.",
        )
    return width, height
