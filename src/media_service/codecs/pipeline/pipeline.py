"""What a pipeline says beside its steps: which format comes out, and which other media go in."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.formats import FORMATS as WRITTEN
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import canonical, invalid, normal, read
from media_service.codecs.pipeline.validation import MOST_CHARACTERS, check
from media_service.errors import FailedPrecondition, Reason

FORMATS = Operation.Format.DESCRIPTOR
# What names another media, in whatever operation.
OVERLAY = "media_id"
# What makes two renditions, and how the name of the second ends.
BESIDE = {"storyboard": ".vtt"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline that was checked. `text`: its canonical form. `format`: empty if it does not say
    one. `overlays`: media ids. `streams`: it makes a stream. `beside`: what the name of a second
    rendition ends in; empty: there is none."""

    text: str
    format: str
    overlays: tuple[str, ...]
    streams: bool = False
    beside: str = ""


def plan(operations: Iterable[Operation], field: str = "ops") -> Plan:
    """What somebody asks for; `field`: in what.

    Raises InvalidArgument (INVALID_OPERATIONS), FailedPrecondition (OPERATION_NOT_APPLICABLE).
    """
    asked = checked(operations, field)
    if len(asked.text) > MOST_CHARACTERS:
        raise invalid(field, f"may have {MOST_CHARACTERS} characters in the short text form")
    if asked.format and asked.format not in WRITTEN:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"{asked.format} cannot be written here; there are {', '.join(WRITTEN)}.",
            format=asked.format,
        )
    return asked


def checked(operations: Iterable[Operation], field: str = "ops") -> Plan:
    """Raises InvalidArgument (INVALID_OPERATIONS)."""
    operations = list(operations)
    check(operations, field)
    return described([normal(operation) for operation in operations])


def described(operations: Iterable[Operation]) -> Plan:
    """Of operations that were checked, in their normal form."""
    operations = list(operations)
    format_ = 0
    overlays = []
    streams, beside = False, ""
    for operation in operations:
        name, message = fields.step(operation)
        streams = streams or name == "stream"
        beside = BESIDE.get(name, beside)
        if name == "convert":
            format_ = message.format
        if OVERLAY in message.DESCRIPTOR.fields_by_name:
            overlays.append(getattr(message, OVERLAY))
    return Plan(
        canonical(operations),
        FORMATS.values_by_number[format_].name if format_ else "",
        tuple(dict.fromkeys(overlays)),
        streams,
        beside,
    )


@lru_cache(maxsize=1024)
def read_plan(text: str) -> Plan:
    """Of a canonical text, which was checked when it was written."""
    return described(read(text))


@lru_cache(maxsize=1024)
def with_format(text: str, format_name: str) -> Plan:
    """The pipeline of a canonical text that says no format, with one. It does not count as one of
    the operations that somebody may ask for."""
    operations = read(text)
    number = Operation.Format.Value(format_name)
    converts = [operation for operation in operations if operation.HasField("convert")]
    if not converts:
        operations.append(Operation())
        converts = operations[-1:]
    converts[0].convert.MergeFrom(Operation.Convert(format=number))
    return described(operations)
