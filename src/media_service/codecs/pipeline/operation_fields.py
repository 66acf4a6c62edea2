"""Reads operations and their parameters from the descriptors and options of the protos."""

import re
from functools import cache
from typing import Any, Literal

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from mediaservice.v1 import operation_pb2
from mediaservice.v1.media_pb2 import Media
from mediaservice.v1.operation_pb2 import Operation

ONEOF: Literal["operation"] = "operation"
FILTERS = Operation.Filter.Name

# Stricter than Python's parser, which also accepts "1_000", "infinity" and digits of other scripts.
INTEGER = re.compile(r"-?[0-9]{1,18}")
NUMBER = re.compile(
    r"-?([0-9]{1,18}(\.[0-9]{0,30})?|\.[0-9]{1,30})(e[+-]?[0-9]{1,3})?", re.IGNORECASE
)


@cache
def operations() -> dict[str, Descriptor]:
    """The message descriptor of each operation, by its name in the text form."""
    oneof = Operation.DESCRIPTOR.oneofs_by_name[ONEOF]
    return {field.name: field.message_type for field in oneof.fields if field.message_type}


@cache
def filters() -> tuple[str, ...]:
    """The names of all filters, in lower case."""
    return tuple(name.lower() for name in enum_names(FILTERS.DESCRIPTOR))


@cache
def parameters(operation: Descriptor) -> tuple[FieldDescriptor, ...]:
    """Returns the parameters of an operation in the order of positional arguments."""
    return tuple(sorted(operation.fields, key=lambda field: field.number))


def enum_of(field: FieldDescriptor) -> EnumDescriptor | None:
    return field.enum_type if field.type == FieldDescriptor.TYPE_ENUM else None


def enum_names(enum: EnumDescriptor) -> list[str]:
    """The names of an enum, without the unspecified value and without aliases."""
    numbers = dict.fromkeys(value.number for value in enum.values if value.number)
    return [enum.values_by_number[number].name for number in numbers]


def example(operation: Descriptor) -> str:
    text: str = operation.GetOptions().Extensions[operation_pb2.operation_rule].example
    return text


def input_kinds(operation: Descriptor) -> list[str]:
    """Returns the kinds of media that an operation accepts, as names of Media.Kind."""
    numbers = operation.GetOptions().Extensions[operation_pb2.operation_rule].kinds
    return [Media.Kind.Name(number) for number in numbers] or [Media.Kind.Name(Media.IMAGE)]


def output_kind(operation: Descriptor) -> str:
    """Returns the kind of media that an operation returns, or an empty string if it is that of the
    input."""
    number = operation.GetOptions().Extensions[operation_pb2.operation_rule].output
    return Media.Kind.Name(number) if number else ""


def ends_pipeline(operation: Descriptor) -> bool:
    """Whether no operation can follow it."""
    return bool(operation.GetOptions().Extensions[operation_pb2.operation_rule].terminal)


def default_text(field: FieldDescriptor) -> str:
    """Returns the default value in the text form, or an empty string if there is none."""
    text: str = field.GetOptions().Extensions[operation_pb2.parameter_rule].default_value
    return text


def type_name(field: FieldDescriptor) -> str:
    """Returns the type of a parameter for the reference."""
    match field.type:
        case FieldDescriptor.TYPE_ENUM:
            return "enum"
        case FieldDescriptor.TYPE_BOOL:
            return "bool"
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            return "float"
        case FieldDescriptor.TYPE_STRING:
            return "string"
    return "int"


def is_set(message: Any, field: FieldDescriptor) -> bool:
    """Whether a parameter is set."""
    if field.has_presence:
        return bool(message.HasField(field.name))
    return bool(getattr(message, field.name))


def unpack(operation: Operation) -> tuple[str, Any]:
    """The name of an operation and its message."""
    name = operation.WhichOneof(ONEOF) or ""
    return name, getattr(operation, name) if name else None


def pack(name: str, message: Any) -> Operation:
    """The reverse of `unpack`, with a copy of the message."""
    operation = Operation()
    copy = getattr(operation, name)
    copy.SetInParent()
    copy.CopyFrom(message)
    return operation


def with_defaults(operation: Operation) -> Operation:
    """Returns a copy in which missing parameters have their defaults."""
    complete = Operation()
    complete.CopyFrom(operation)
    name, message = unpack(complete)
    message.SetInParent()
    for field in parameters(operations()[name]):
        text = default_text(field)
        if text and not is_set(message, field):
            setattr(message, field.name, parse_value(field, text))
    return complete


def parse_value(field: FieldDescriptor, text: str) -> Any:
    """Parses a value of the text form. Raises ValueError; its message states the requirement."""
    if enum := enum_of(field):
        known = enum.values_by_name.get(text.upper().replace("-", "_"))
        if known is None or not known.number:
            raise ValueError(f"must be one of {', '.join(enum_names(enum))}")
        return known.number
    match type_name(field):
        case "bool":
            if text.lower() not in {"true", "false", "1", "0"}:
                raise ValueError("must be true or false")
            return text.lower() in {"true", "1"}
        case "int":
            if not INTEGER.fullmatch(text):
                raise ValueError("must be a whole number")
            number = int(text)
            if field.type == FieldDescriptor.TYPE_INT32 and abs(number) >= 1 << 31:
                raise ValueError("must be between -2147483647 and 2147483647")
            return number
        case "float":
            if not NUMBER.fullmatch(text):
                raise ValueError("must be a number")
            return float(text)
    return text
