"""`watermark`: draws another image over this one as a watermark."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import resized
from media_service.codecs.image.operations import Context, Image
from media_service.codecs.image.overlay import stamped


def apply(image: Image, p: Operation.Watermark, context: Context) -> Image:
    layer = context.overlays[p.media_id]
    scale = min(image.width * p.scale / layer.width, image.height / layer.height)
    size = (max(1, round(layer.width * scale)), max(1, round(layer.height * scale)))
    return stamped(image, resized(layer, size), p.gravity, p.margin, p.opacity, tile=p.tile)
