"""Colours into their opposites."""

from media.v1.operation_pb2 import Operation

from media_service.processing.image.operations import Context, Image, operation


@operation("negate")
def negate(image: Image, _: Operation.Negate, __: Context) -> Image:
    scale = [-1] * 3 + [1] * (image.bands - 3)
    offset = [255] * 3 + [0] * (image.bands - 3)
    return image.linear(scale, offset).cast("uchar")
