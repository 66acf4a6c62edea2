"""What a pipeline says beside its steps: which format comes out, and which other media go in."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.formats import FORMATS as WRITTEN
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import canonical_text, invalid, normalized, parse_text
from media_service.codecs.pipeline.validation import MAX_CHARACTERS, validate
from media_service.errors import FailedPrecondition, Reason

FORMATS = Operation.Format.DESCRIPTOR
# What names another media, in whatever operation.
OVERLAY = "media_id"
# What makes two renditions, and how the name of the second ends.
COMPANION_SUFFIXES = {"storyboard": ".vtt"}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline that was checked. `text`: its canonical form. `format`: empty if it does not say
    one. `overlays`: media ids. `companion_suffix`: what the name of a second
    rendition ends in; empty: there is none."""

    text: str
    format: str
    overlays: tuple[str, ...]
    makes_stream: bool = False
    companion_suffix: str = ""


def requested_pipeline(operations: Iterable[Operation], field: str = "ops") -> Pipeline:
    """What somebody asks for; `field`: in what.

    Raises InvalidArgument (INVALID_OPERATIONS), FailedPrecondition (OPERATION_NOT_APPLICABLE).
    """
    asked = checked(operations, field)
    if len(asked.text) > MAX_CHARACTERS:
        raise invalid(field, f"may have {MAX_CHARACTERS} characters in the short text form")
    if asked.format and asked.format not in WRITTEN:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"{asked.format} cannot be written here; there are {', '.join(WRITTEN)}.",
        )
    return asked


def checked(operations: Iterable[Operation], field: str = "ops") -> Pipeline:
    """Raises InvalidArgument (INVALID_OPERATIONS)."""
    operations = list(operations)
    validate(operations, field)
    return describe([normalized(operation) for operation in operations])


def describe(operations: Iterable[Operation]) -> Pipeline:
    """Of operations that were checked, in their normal form."""
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
    """Of a canonical text, which was checked when it was written."""
    return describe(parse_text(text))


@lru_cache(maxsize=1024)
def with_format(text: str, format_name: str) -> Pipeline:
    """The pipeline of a canonical text that says no format, with one. It does not count as one of
    the operations that somebody may ask for."""
    operations = parse_text(text)
    number = Operation.Format.Value(format_name)
    converts = [operation for operation in operations if operation.HasField("convert")]
    if not converts:
        operations.append(Operation())
        converts = operations[-1:]
    converts[0].convert.MergeFrom(Operation.Convert(format=number))
    return describe(operations)
