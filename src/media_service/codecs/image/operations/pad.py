"""`pad`: adds a border."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import color, embed
from media_service.codecs.image.operations import Context, Image


def apply(image: Image, p: Operation.Pad, _: Context) -> Image:
    right = p.right if p.HasField("right") else p.top
    bottom = p.bottom if p.HasField("bottom") else p.top
    left = p.left if p.HasField("left") else right
    size = (left + image.width + right, p.top + image.height + bottom)
    return embed(image, (left, p.top), size, color(p.background))
