"""Another picture over this one, as a mark of its owner."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import resized
from media_service.codecs.image.operations import Context, Image, operation
from media_service.codecs.image.overlay import marked


@operation("watermark")
def watermark(image: Image, p: Operation.Watermark, context: Context) -> Image:
    mark = context.overlays[p.media_id]
    scale = min(image.width * p.scale / mark.width, image.height / mark.height)
    size = (max(1, round(mark.width * scale)), max(1, round(mark.height * scale)))
    return marked(image, resized(mark, size), p.gravity, p.margin, p.opacity, tile=p.tile)
