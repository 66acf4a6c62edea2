"""`flip`: mirrors."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.operations import Context, Image


def apply(image: Image, p: Operation.Flip, _: Context) -> Image:
    if p.direction in {Operation.Flip.HORIZONTAL, Operation.Flip.BOTH}:
        image = image.fliphor()
    if p.direction in {Operation.Flip.VERTICAL, Operation.Flip.BOTH}:
        image = image.copy_memory().flipver()
    return image
