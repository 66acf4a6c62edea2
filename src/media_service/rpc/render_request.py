"""The pipeline of a RenderImage request."""

from functools import lru_cache
from typing import Any

from mediaservice.v1 import download_service_pb2
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.codecs.pipeline.text_form import invalid
from media_service.codecs.pipeline.validation import parse, requested_pipeline

SIZE = ("width", "height", "fit", "gravity", "dpr")
ENCODING = ("format", "quality")


def pipeline_of(request: download_service_pb2.RenderImageRequest) -> Pipeline:
    """Raises InvalidArgument (INVALID_OPERATIONS)."""
    fields = {name: getattr(request, name) for name in (*SIZE, *ENCODING)}
    return pipeline_from(request.ops, **{name: value for name, value in fields.items() if value})


@lru_cache(maxsize=1024)
def pipeline_from(ops: str, **fields: Any) -> Pipeline:
    size = {name: fields[name] for name in SIZE if name in fields}
    encoding = {name: fields[name] for name in ENCODING if name in fields}
    if size and not size.keys() & {"width", "height"}:
        raise invalid("width", "or height is required if fit, gravity or dpr is set")
    first = [Operation(resize=Operation.Resize(**size))] if size else []
    last = [Operation(convert=Operation.Convert(**encoding))] if encoding else []
    return requested_pipeline([*first, *parse(ops), *last])
