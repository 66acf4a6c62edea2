"""What somebody asks for, held against the contract's rules. Apart from the text form, since a
child that only reads what was checked starts sooner without the rules."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache

import protovalidate
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS, copy_of, invalid, parse_text

MAX_OPERATIONS = 32
MAX_CHARACTERS = 4000


def parse(text: str) -> list[Operation]:
    """The operations of a pipeline that somebody wrote, checked against the contract's rules.

    Raises InvalidArgument (INVALID_OPERATIONS).
    """
    if len(text) > MAX_CHARACTERS:
        raise invalid("ops", f"may have {MAX_CHARACTERS} characters")
    if re.search("[\ud800-\udfff]", text):  # of an argument of the command line that is not UTF-8
        raise invalid("ops", "must be text")
    return [copy_of(operation) for operation in parse_checked(text)]


@lru_cache(maxsize=1024)
def parse_checked(text: str) -> tuple[Operation, ...]:
    operations = parse_text(text)
    validate(operations)
    return tuple(operations)


@cache
def validator() -> protovalidate.Validator:
    """One for all: it compiles each rule once."""
    return protovalidate.Validator()


def is_of_the_whole(violation: protovalidate.Violation) -> bool:
    """Of an operation, and not of one parameter."""
    field = violation.proto.field
    return field is None or len(field.elements) < 2


def validate(operations: Sequence[Operation], field: str = "ops") -> None:
    """Holds operations against the contract's rules. `field`: what they came in.

    Raises InvalidArgument (INVALID_OPERATIONS).
    """
    if len(operations) > MAX_OPERATIONS:
        raise invalid(field, f"may have {MAX_OPERATIONS} operations")
    for place, operation in enumerate(operations):
        violations = validator().collect_violations(operation)
        # What one parameter may be says more than what several may be together.
        for violation in sorted(violations, key=is_of_the_whole):
            elements = violation.proto.field.elements if violation.proto.field else []
            name = ".".join([f"{field}[{place}]", *(element.field_name for element in elements)])
            raise invalid(name, violation.proto.message)
    names = [fields.unpack(operation)[0] for operation in operations]
    for name in OUTPUT_OPERATIONS:
        if names.count(name) > 1:
            raise invalid(field, f"may have one {name}")
