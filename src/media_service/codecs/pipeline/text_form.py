"""The text form of pipelines: `resize:800x600,clarendon,compress:85`.

Its grammar is frozen and documented in docs/operations-text.md. `canonical_text` writes the
canonical form, which is stored, signed, hashed, and sent to the child processes.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline import operation_fields as fields
from media_service.errors import InvalidArgument, Reason
from media_service.nearest import nearest

# Operations that configure the encoding of the result. Each may occur once.
OUTPUT_OPERATIONS = ("convert", "compress", "metadata")
SIZE = re.compile(r"([0-9]{0,9})x([0-9]{0,9})")
# Ignored around names, arguments and values.
WHITE_SPACE = " \t\r\n"
# Characters that must be escaped in a value.
SPECIAL = re.compile(rf"[,:=~{WHITE_SPACE}]")
# One byte of UTF-8.
ESCAPE = re.compile(rb"~([0-9A-Fa-f]{2})?")


def parse_text(text: str) -> list[Operation]:
    """Parses a pipeline. Checks the grammar, but not the rules of the operations. Raises
    InvalidArgument (INVALID_OPERATIONS)."""
    steps = text.split(",") if text.strip(WHITE_SPACE) else []
    return [parse_step(f"ops[{index}]", step) for index, step in enumerate(steps)]


def parse_step(field_path: str, text: str) -> Operation:
    name, *arguments = text.split(":")
    name = name.strip(WHITE_SPACE).lower()
    if name not in fields.operations():
        if name not in fields.filters():
            raise unknown(field_path, name)
        name, arguments = "filter", [name, *arguments]
    operation = Operation()
    message = getattr(operation, name)
    message.SetInParent()
    path = f"{field_path}.{name}"
    for field, value in parse_arguments(path, message.DESCRIPTOR, arguments):
        try:
            setattr(message, field.name, fields.parse_value(field, value))
        except ValueError as error:
            raise invalid(f"{path}.{field.name}", str(error)) from None
    return operation


def parse_arguments(
    path: str, operation: Descriptor, arguments: Iterable[str]
) -> Iterator[tuple[FieldDescriptor, str]]:
    """Yields each parameter with its value."""
    positional = list(fields.parameters(operation))
    given: set[str] = set()
    for argument in arguments:
        for name, value in assign(path, operation, positional, argument.strip(WHITE_SPACE)):
            field = operation.fields_by_name[name]
            if field in positional:
                positional.remove(field)
            if value is None:
                continue
            if name in given:
                raise invalid(f"{path}.{name}", "is given twice")
            given.add(name)
            yield field, value


def assign(
    path: str, operation: Descriptor, positional: Sequence[FieldDescriptor], argument: str
) -> list[tuple[str, str | None]]:
    """Returns the parameters that one argument sets, with their values. `positional` has the
    parameters that are not set yet.

    A value of None means that it is omitted, such as the height in `800x`.
    """
    name, equals, value = argument.partition("=")
    named = operation.fields_by_name.get(name.strip(WHITE_SPACE))
    if equals:
        if named is None:
            raise unknown_parameter(path, operation, name.strip(WHITE_SPACE))
        return [(named.name, unescape(f"{path}.{named.name}", value))]
    if named is not None and fields.type_name(named) == "bool":
        return [(named.name, "true")]
    if not positional:
        names = ", ".join(operation.fields_by_name) or "none"
        raise invalid(path, f"takes no more parameters than {names}")
    if positional[0].name == "width" and (size := SIZE.fullmatch(argument)):
        return [("width", size[1] or None), ("height", size[2] or None)]
    return [(positional[0].name, unescape(f"{path}.{positional[0].name}", argument))]


def unescape(path: str, text: str) -> str:
    text = text.strip(WHITE_SPACE)
    if "=" in text:
        raise invalid(path, "must have equals signs written as ~3D")
    if "~" not in text:
        return text

    def byte(found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            raise invalid(path, "must have two hexadecimal digits after each ~; write ~ as ~7E")
        return bytes.fromhex(found[1].decode())

    try:
        return ESCAPE.sub(byte, text.encode()).decode()
    except UnicodeDecodeError:
        raise invalid(path, "has an escape sequence that is not UTF-8") from None


def escape(text: str) -> str:
    return SPECIAL.sub(lambda found: f"~{ord(found[0]):02X}", text)


def canonical_text(operations: Iterable[Operation]) -> str:
    """Returns the canonical text form. Parameters are in order, without defaults. Operations that
    configure the encoding come last."""
    return write_text(in_canonical_order(operations))


def in_canonical_order(operations: Iterable[Operation]) -> list[Operation]:
    """Returns normalized copies. Operations that configure the encoding come last."""
    return sorted(map(normalized, operations), key=output_order)


def write_text(operations: Iterable[Operation]) -> str:
    """Writes normalized operations in canonical order."""
    return ",".join(write_step(operation) for operation in operations)


def output_order(operation: Operation) -> int:
    name, _ = fields.unpack(operation)
    return OUTPUT_OPERATIONS.index(name) + 1 if name in OUTPUT_OPERATIONS else 0


def normalized(operation: Operation) -> Operation:
    """Returns a copy in which values with several spellings have the canonical one."""
    operation = copy_of(operation)
    _, message = fields.unpack(operation)
    for field in fields.parameters(message.DESCRIPTOR):
        if fields.is_set(message, field) and field.name in NORMALIZERS:
            setattr(message, field.name, NORMALIZERS[field.name](getattr(message, field.name)))
    return operation


def normal_color(text: str) -> str:
    """Returns `ff8800` for both `#F80` and `ff8800FF`."""
    text = text.lower().removeprefix("#")
    if len(text) == 3:
        text = "".join(2 * digit for digit in text)
    return text.removesuffix("ff") if len(text) == 8 else text


def normal_degrees(degrees: float) -> float:
    """Returns an equivalent angle above -180 and up to 180, without a negative zero."""
    remainder = math.remainder(degrees, 360) + 0.0
    return 180.0 if remainder == -180 else remainder


# By the name of the parameter, in any operation.
NORMALIZERS: dict[str, Callable[[Any], Any]] = {
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
        return repr(value + 0.0)  # without a negative zero
    return escape(str(value))


def copy_of(operation: Operation) -> Operation:
    copy = Operation()
    copy.CopyFrom(operation)
    return copy


def unknown(path: str, name: str) -> InvalidArgument:
    hint = "ListOperations lists all operations"
    if near := nearest(name, [*fields.operations(), *fields.filters()]):
        hint = f"did you mean {near}?"
    return invalid(path, f"has no operation {name[:40]!r}; {hint}")


def unknown_parameter(path: str, operation: Descriptor, name: str) -> InvalidArgument:
    hint = "write an equals sign in a value as ~3D"
    if near := nearest(name, list(operation.fields_by_name)):
        hint = f"did you mean {near}?"
    return invalid(path, f"has no parameter {name[:40]!r}; {hint}")


def invalid(field: str, what: str) -> InvalidArgument:
    message = f"The pipeline is not valid: {field} {what}" + "." * (not what.endswith("?"))
    return InvalidArgument(Reason.INVALID_OPERATIONS, message, ((field, what),))
