"""Pipelines in canonical form, with what a caller must know about them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.formats import FORMATS as WRITABLE
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import canonical_text, invalid, normalized, parse_text
from media_service.codecs.pipeline.validation import MAX_CHARACTERS, validate
from media_service.errors import FailedPrecondition, Reason

FORMATS = Operation.Format.DESCRIPTOR
# The parameter that names another media, in any operation.
OVERLAY = "media_id"
# Operations with a second rendition, and the suffix of its name.
COMPANION_SUFFIXES = {"storyboard": ".vtt"}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A valid pipeline. `text`: its canonical form. `format`: empty if it names none. `overlays`:
    media ids. `companion_suffix`: the suffix of the name of a second rendition; empty: there is
    none."""

    text: str
    format: str
    overlays: tuple[str, ...]
    makes_stream: bool = False
    companion_suffix: str = ""


def requested_pipeline(operations: Iterable[Operation], field: str = "ops") -> Pipeline:
    """The pipeline of a request. `field`: the request field that it came in.

    Raises InvalidArgument (INVALID_OPERATIONS), FailedPrecondition (OPERATION_NOT_APPLICABLE).
    """
    pipeline = checked(operations, field)
    if len(pipeline.text) > MAX_CHARACTERS:
        raise invalid(field, f"must have at most {MAX_CHARACTERS} characters in the text form")
    if pipeline.format and pipeline.format not in WRITABLE:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"{pipeline.format} cannot be written; use one of {', '.join(WRITABLE)}.",
        )
    return pipeline


def checked(operations: Iterable[Operation], field: str = "ops") -> Pipeline:
    """Raises InvalidArgument (INVALID_OPERATIONS)."""
    operations = list(operations)
    validate(operations, field)
    return describe([normalized(operation) for operation in operations])


def describe(operations: Iterable[Operation]) -> Pipeline:
    """`operations`: valid and normalized."""
    operations = list(operations)
    format_ = 0
    overlays = []
    makes_stream, companion_suffix = False, ""
    for operation in operations:
        name, message = fields.unpack(operation)
        makes_stream = makes_stream or name == "stream"
        companion_suffix = COMPANION_SUFFIXES.get(name, companion_suffix)
        if name == "convert":
            format_ = message.format
        if OVERLAY in message.DESCRIPTOR.fields_by_name:
            overlays.append(getattr(message, OVERLAY))
    return Pipeline(
        canonical_text(operations),
        FORMATS.values_by_number[format_].name if format_ else "",
        tuple(dict.fromkeys(overlays)),
        makes_stream,
        companion_suffix,
    )


@lru_cache(maxsize=1024)
def stored_pipeline(text: str) -> Pipeline:
    """The pipeline of a canonical text, which was valid when it was written."""
    return describe(parse_text(text))


@lru_cache(maxsize=1024)
def with_format(text: str, format_name: str) -> Pipeline:
    """The pipeline of a canonical text without a format, in the given format. The added operation
    does not count towards the limit."""
    operations = parse_text(text)
    number = Operation.Format.Value(format_name)
    converts = [operation for operation in operations if operation.HasField("convert")]
    if not converts:
        operations.append(Operation())
        converts = operations[-1:]
    converts[0].convert.MergeFrom(Operation.Convert(format=number))
    return describe(operations)
