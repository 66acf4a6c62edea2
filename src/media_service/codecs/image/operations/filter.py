"""`filter`: applies a named filter."""

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.colors.filters import FILTERS
from media_service.codecs.image.colors.steps import run
from media_service.codecs.image.operations import Context, Image


def apply(image: Image, p: Operation.Filter, _: Context) -> Image:
    return run(image, FILTERS[p.name], p.amount)
