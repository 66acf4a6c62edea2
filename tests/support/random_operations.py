"""Hypothesis strategies for any operation that the contract's descriptors and rules allow."""

from typing import Any

import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st
from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline import operation_fields as fields
from media_service.contract import field_rules

VALIDATOR = protovalidate.Validator()


def numbers(field: FieldDescriptor, kind: str) -> st.SearchStrategy[Any]:
    bounds = getattr(field_rules(field), str(field_rules(field).WhichOneof("type")))
    least = bounds.gte if bounds.HasField("gte") else bounds.gt
    most = bounds.lte if bounds.HasField("lte") else bounds.lt
    return (
        st.integers(int(least), int(most))
        if kind == "int"
        else st.floats(
            least, most, exclude_min=bounds.HasField("gt"), exclude_max=bounds.HasField("lt")
        )
    )


def strings(field: FieldDescriptor) -> st.SearchStrategy[str]:
    rule = field_rules(field).string
    if rule.uuid:
        return st.uuids().map(str)
    if rule.max_len:
        return st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), min_size=1)
    return st.from_regex(rule.pattern.replace("$", r"\Z"))


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind = fields.type_name(field)
    if enum := fields.enum_of(field):
        return st.sampled_from([value.number for value in enum.values])
    if kind == "bool":
        return st.booleans()
    return strings(field) if kind == "string" else numbers(field, kind)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    name = draw(st.sampled_from(sorted(fields.operations())))
    operation = Operation()
    message = getattr(operation, name)
    message.SetInParent()
    for field in fields.parameters(message.DESCRIPTOR):
        if draw(st.booleans()):
            setattr(message, field.name, draw(values(field)))
    return operation


def allowed(operation: Operation) -> bool:
    return not VALIDATOR.collect_violations(operation)
