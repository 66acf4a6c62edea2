"""Validates requested pipelines against the rules in the protos.

This is a separate module because child processes read only valid pipelines and start faster without
the validator.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import protovalidate
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.image.formats import FORMATS
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.codecs.pipeline.text_form import OUTPUT_OPERATIONS, copy_of, invalid, parse_text
from media_service.contract import problem
from media_service.errors import FailedPrecondition, Reason

MAX_OPERATIONS = 32
MAX_CHARACTERS = 4000


def parse(text: str) -> list[Operation]:
    """Parses and validates a pipeline of a request.

    Raises InvalidArgument (INVALID_OPERATIONS).
    """
    if len(text) > MAX_CHARACTERS:
        raise invalid("ops", f"must have at most {MAX_CHARACTERS} characters, but has {len(text)}")
    if re.search("[\ud800-\udfff]", text):  # from a command line argument that is not UTF-8
        raise invalid("ops", "must be text")
    return [copy_of(operation) for operation in parse_checked(text)]


@lru_cache(maxsize=1024)
def parse_checked(text: str) -> tuple[Operation, ...]:
    operations = parse_text(text)
    validate(operations)
    return tuple(operations)


@lru_cache(maxsize=1024)
def parsed_pipeline(text: str) -> Pipeline:
    """Returns the pipeline of a request's text. Raises the errors of `requested_pipeline`."""
    return accepted(Pipeline.of(parse(text)), "ops")


def requested_pipeline(operations: Iterable[Operation], field: str = "ops") -> Pipeline:
    """Returns the pipeline of a request's operations. `field` is the request field of the
    operations.
    Raises InvalidArgument (INVALID_OPERATIONS), FailedPrecondition (OPERATION_NOT_APPLICABLE).
    """
    operations = list(operations)
    validate(operations, field)
    return accepted(Pipeline.of(operations), field)


def accepted(pipeline: Pipeline, field: str) -> Pipeline:
    """Checks that the pipeline can be stored and its format can be written. Raises the errors of
    `requested_pipeline`."""
    if len(pipeline.text) > MAX_CHARACTERS:
        length = len(pipeline.text)
        what = f"must have at most {MAX_CHARACTERS} characters in the text form, but has {length}"
        raise invalid(field, what)
    if pipeline.format and pipeline.format not in FORMATS:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            f"{pipeline.format} cannot be written; use one of {', '.join(FORMATS)}.",
        )
    return pipeline


def concerns_operation(violation: protovalidate.Violation) -> bool:
    """Whether a violation concerns the operation as a whole, not one parameter."""
    field = violation.proto.field
    return field is None or len(field.elements) < 2


def validate(operations: Sequence[Operation], field: str = "ops") -> None:
    """Validates operations. `field` is the request field of the operations.
    Raises InvalidArgument (INVALID_OPERATIONS).
    """
    if len(operations) > MAX_OPERATIONS:
        raise invalid(
            field, f"must have at most {MAX_OPERATIONS} operations, but has {len(operations)}"
        )
    for index, operation in enumerate(operations):
        violations = protovalidate.collect_violations(operation)
        # Violations of one parameter come first, because they are more specific.
        for violation in sorted(violations, key=concerns_operation):
            elements = violation.proto.field.elements if violation.proto.field else []
            name = ".".join([f"{field}[{index}]", *(element.field_name for element in elements)])
            raise invalid(name, problem(violation))
    names = [fields.unpack(operation)[0] for operation in operations]
    for name in OUTPUT_OPERATIONS:
        if names.count(name) > 1:
            raise invalid(field, f"must have at most one {name}")
