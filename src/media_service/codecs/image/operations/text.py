"""`text`: draws text over the image."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.geometry import color
from media_service.codecs.image.operations import Context, Image
from media_service.codecs.image.overlay import one_color, stamped
from media_service.codecs.image.text_layer import draw_text


def apply(image: Image, p: Operation.Text, _: Context) -> Image:
    room = (max(1, image.width - 2 * p.margin), max(1, image.height - 2 * p.margin))
    line = p.size * min(image.width, image.height)
    letters = draw_text(p.text, line, room, p.gravity)
    if letters is None:
        return image
    if p.degrees % 360:
        letters = letters.rotate(p.degrees).copy_memory()
    *rgb, alpha = color(p.color)
    layer = one_color(letters, rgb, alpha / 255)
    return stamped(image, layer, p.gravity, p.margin, p.opacity, tile=p.tile)
