"""The short text form of pipelines, which people write: `resize:800x600,clarendon,compress:85`.

Its grammar is described at `Operation` in the contract. `canonical_text` writes the one form
that is stored, signed, hashed, and handed to the child that does the work.
"""

import difflib
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline import operation_fields as fields
from media_service.errors import InvalidArgument, Reason

# These say how the result is written: once.
OUTPUT_OPERATIONS = ("convert", "compress", "metadata")
SIZE = re.compile(r"(\d{0,9})x(\d{0,9})")
# Space too: around what is written it means nothing.
ESCAPED = re.compile(r"[%,:=\s]")


def parse_text(text: str) -> list[Operation]:
    """The operations of a pipeline; held against no rules but those of the grammar, which
    `canonical_text` keeps to. Raises InvalidArgument (INVALID_OPERATIONS)."""
    steps = text.split(",") if text.strip() else []
    return [read_step(f"ops[{place}]", step.strip()) for place, step in enumerate(steps)]


def read_step(place: str, text: str) -> Operation:
    name, *arguments = text.split(":")
    name = name.strip().lower()
    if name not in fields.operations():
        if name.upper() not in fields.enum_names(fields.FILTERS.DESCRIPTOR):
            raise unknown(place, name)
        name, arguments = "filter", [name, *arguments]
    operation = Operation()
    message = getattr(operation, name)
    message.SetInParent()
    for field, value in read_arguments(f"{place}.{name}", message.DESCRIPTOR, arguments):
        try:
            setattr(message, field.name, fields.parse_value(field, value))
        except ValueError as error:
            raise invalid(f"{place}.{name}.{field.name}", str(error)) from None
    return operation


def read_arguments(
    place: str, operation: Descriptor, arguments: Iterable[str]
) -> Iterator[tuple[FieldDescriptor, str]]:
    """Each parameter with its value."""
    free = list(fields.parameters(operation))
    given: set[str] = set()
    for argument in arguments:
        for name, value in assigned(place, operation, free, argument.strip()):
            field = operation.fields_by_name[name]
            if field in free:
                free.remove(field)
            if value is None:
                continue
            if name in given:
                raise invalid(f"{place}.{name}", "is given twice")
            given.add(name)
            yield field, value


def assigned(
    place: str, operation: Descriptor, free: Sequence[FieldDescriptor], argument: str
) -> list[tuple[str, str | None]]:
    """The parameters that one argument is for; `free` are those that need no name.

    None: it is left out, as the height in `800x`.
    """
    name, equals, value = argument.partition("=")
    named = operation.fields_by_name.get(name.strip())
    if named is not None and equals:
        return [(named.name, unescaped(place, value))]
    if named is not None and fields.type_name(named) == "bool":
        return [(named.name, "true")]
    if not free:
        names = ", ".join(operation.fields_by_name) or "none"
        raise invalid(place, f"takes no more parameters than {names}")
    if free[0].name == "width" and (size := SIZE.fullmatch(argument)):
        return [("width", size[1] or None), ("height", size[2] or None)]
    return [(free[0].name, unescaped(place, argument))]


def unescaped(place: str, text: str) -> str:
    try:
        return unquote(text.strip(), errors="strict")
    except UnicodeDecodeError:
        raise invalid(place, "has an escaped character that is none in UTF-8") from None


def canonical_text(operations: Iterable[Operation]) -> str:
    """The one text form of a pipeline: parameters in order, and none that has its default; behind
    the steps that change the picture those that say how it is written, wherever they were."""
    steps = [normalized(operation) for operation in operations]
    return ",".join(write_step(operation) for operation in sorted(steps, key=output_order))


def output_order(operation: Operation) -> int:
    name, _ = fields.unpack(operation)
    return OUTPUT_OPERATIONS.index(name) + 1 if name in OUTPUT_OPERATIONS else 0


def normalized(operation: Operation) -> Operation:
    """The same, in the one of several ways in which it can be said."""
    operation = copy_of(operation)
    _, message = fields.unpack(operation)
    for field in fields.parameters(message.DESCRIPTOR):
        if fields.is_set(message, field) and field.name in NORMAL:
            setattr(message, field.name, NORMAL[field.name](getattr(message, field.name)))
    return operation


def normal_color(text: str) -> str:
    """`ff8800` of `F80` and of `ff8800FF`."""
    text = text.lower()
    if len(text) == 3:
        text = "".join(2 * digit for digit in text)
    return text.removesuffix("ff") if len(text) == 8 else text


def normal_degrees(degrees: float) -> float:
    """Above -180, up to 180; of the two zeros the one without a sign."""
    turned = math.remainder(degrees, 360) + 0.0
    return 180.0 if turned == -180 else turned


# Of parameters of these names, whatever the operation.
NORMAL: dict[str, Callable[[Any], Any]] = {
    "background": normal_color,
    "color": normal_color,
    "degrees": normal_degrees,
    "media_id": str.lower,
}


def write_step(operation: Operation) -> str:
    name, message = fields.unpack(operation)
    words = [name]
    for field in fields.parameters(message.DESCRIPTOR):
        if fields.is_set(message, field):
            value = getattr(message, field.name)
            default = fields.default_text(field)
            if not default or fields.parse_value(field, default) != value:
                words.append(f"{field.name}={write_value(field, value)}")
    return ":".join(words)


def write_value(field: FieldDescriptor, value: Any) -> str:
    if enum := fields.enum_of(field):
        return enum.values_by_number[value].name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value + 0.0)  # there is one zero
    return ESCAPED.sub(lambda found: quote(found[0], safe=""), str(value))


def digest(text: str) -> bytes:
    """SHA-256 of a pipeline in its canonical form: what results are known by."""
    return hashlib.sha256(text.encode()).digest()


def copy_of(operation: Operation) -> Operation:
    copy = Operation()
    copy.CopyFrom(operation)
    return copy


def unknown(place: str, name: str) -> InvalidArgument:
    filters = [name.lower() for name in fields.enum_names(fields.FILTERS.DESCRIPTOR)]
    near = difflib.get_close_matches(name[:40], [*fields.operations(), *filters], n=1)
    hint = f"; did you mean {near[0]}?" if near else "; ListOperations has them all"
    return invalid(place, f"there is no operation {name[:40]!r}{hint}")


def invalid(field: str, what: str) -> InvalidArgument:
    return InvalidArgument(
        Reason.INVALID_OPERATIONS, f"The pipeline is not valid: {field} {what}.", ((field, what),)
    )
