"""The short text form of pipelines, which people write: `resize:800x600,clarendon,compress:85`.

Its grammar is described at `Operation` in the contract. What `canonical` writes is the one form that
is stored, signed, hashed, and handed to the child that does the work.
"""

import difflib
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any
from urllib.parse import unquote

import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from media.v1.operation_pb2 import Operation

from media_service.errors import InvalidArgument, Reason
from media_service.processing.pipeline import fields

MOST_OPERATIONS = 32
MOST_CHARACTERS = 4000
# These say how the result is written: once.
ONCE = ("convert", "compress", "metadata")
SIZE = re.compile(r"(\d{0,9})x(\d{0,9})")
ESCAPED = re.compile("[%,:=]")


def parse(text: str) -> list[Operation]:
    """The operations of a pipeline that somebody wrote, checked against the contract's rules.

    Raises InvalidArgument (INVALID_OPERATIONS).
    """
    return [copied(operation) for operation in parse_checked(text)]


@lru_cache(maxsize=1024)
def parse_checked(text: str) -> tuple[Operation, ...]:
    operations = read(text)
    check(operations)
    return tuple(operations)


def read(text: str) -> list[Operation]:
    """As `parse`, of a text that was checked before."""
    if len(text) > MOST_CHARACTERS:
        raise invalid("ops", f"may have {MOST_CHARACTERS} characters")
    steps = text.split(",") if text.strip() else []
    if len(steps) > MOST_OPERATIONS:
        raise invalid("ops", f"may have {MOST_OPERATIONS} operations")
    return [read_step(f"ops[{place}]", step.strip()) for place, step in enumerate(steps)]


def read_step(place: str, text: str) -> Operation:
    name, *arguments = text.split(":")
    name = name.strip().lower()
    if name not in fields.operations():
        if name.upper() not in fields.FILTERS.keys():
            raise unknown(place, name)
        name, arguments = "filter", [name, *arguments]
    operation = Operation()
    message = getattr(operation, name)
    message.SetInParent()
    read_arguments(f"{place}.{name}", message, arguments)
    return operation


def read_arguments(place: str, message: Any, arguments: Iterable[str]) -> None:
    ordered = list(fields.parameters(message.DESCRIPTOR))
    by_name = {field.name: field for field in ordered}
    flags = fields.flags(ordered)
    seen: set[str] = set()

    def put(field: FieldDescriptor, value: str) -> None:
        if field.name in seen:
            raise invalid(f"{place}.{field.name}", "is given twice")
        seen.add(field.name)
        if field in ordered:
            ordered.remove(field)
        try:
            setattr(message, field.name, fields.parsed(field, unquote(value)))
        except ValueError as error:
            raise invalid(f"{place}.{field.name}", str(error)) from None

    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key.strip() in by_name:
            put(by_name[key.strip()], value)
        elif argument in flags:
            put(by_name[argument], "true")
        elif not ordered:
            raise invalid(place, f"takes no more parameters than {', '.join(by_name) or 'none'}")
        elif ordered[0].name == "width" and (size := SIZE.fullmatch(argument)):
            for name, number in zip(("width", "height"), size.groups(), strict=True):
                if number:
                    put(by_name[name], number)
                else:
                    ordered.remove(by_name[name])
        else:
            put(ordered[0], argument)


@cache
def validator() -> protovalidate.Validator:
    """One for all: it compiles each rule once."""
    return protovalidate.Validator()


def check(operations: Sequence[Operation]) -> None:
    """Holds operations against the contract's rules. Raises InvalidArgument
    (INVALID_OPERATIONS)."""
    for place, operation in enumerate(operations):
        violations = validator().collect_violations(operation, fail_fast=True)
        for violation in violations:
            elements = violation.proto.field.elements if violation.proto.field else []
            name = ".".join([f"ops[{place}]", *(element.field_name for element in elements)])
            raise invalid(name, violation.proto.message)
    names = [fields.step(operation)[0] for operation in operations]
    for name in ONCE:
        if names.count(name) > 1:
            raise invalid("ops", f"may have one {name}")


def canonical(operations: Iterable[Operation]) -> str:
    """The one text form of a pipeline: parameters in order, and none that has its default."""
    return ",".join(write_step(operation) for operation in operations)


def write_step(operation: Operation) -> str:
    name, message = fields.step(operation)
    words = [name]
    for field in fields.parameters(message.DESCRIPTOR):
        if fields.given(message, field):
            value = getattr(message, field.name)
            default = fields.default_text(field)
            if not default or fields.parsed(field, default) != value:
                words.append(f"{field.name}={write_value(field, value)}")
    return ":".join(words)


def write_value(field: FieldDescriptor, value: Any) -> str:
    if enum := fields.enum_of(field):
        return enum.values_by_number[value].name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", str(value))


def digest(text: str) -> bytes:
    """SHA-256 of a pipeline in its canonical form: what results are known by."""
    return hashlib.sha256(text.encode()).digest()


def copied(operation: Operation) -> Operation:
    copy = Operation()
    copy.CopyFrom(operation)
    return copy


def unknown(place: str, name: str) -> InvalidArgument:
    filters = [name.lower() for name in fields.values(fields.FILTERS.DESCRIPTOR)]
    near = difflib.get_close_matches(name[:40], [*fields.operations(), *filters], n=1)
    hint = f"; did you mean {near[0]}?" if near else "; ListOperations has them all"
    return invalid(place, f"there is no operation {name[:40]!r}{hint}")


def invalid(field: str, what: str) -> InvalidArgument:
    return InvalidArgument(
        Reason.INVALID_OPERATIONS, f"The pipeline is not valid: {field} {what}.", ((field, what),)
    )
