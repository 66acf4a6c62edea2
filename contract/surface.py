"""The part of the contract that REST callers depend on and `buf breaking` does not check, as text.

Each fact is one line: a path of names and a value. Later versions may add facts. A changed or
removed line is a breaking change, unless the change only permits more.
"""

from collections.abc import Iterator

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.rpc import code_pb2
from mediaservice.v1 import error_reason_pb2, operation_pb2, rule_pb2

from contract.descriptors import Contract, message_rules
from media_service.contract import field_rules

HEAD = """\
# The REST surface of the released contract, one fact a line. `make release-contract` writes it;
# `make lint` fails if a fact changed or disappeared. See docs/contract.md.
"""
KINDS: dict[int, str] = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}
# Bounds that may grow without breaking callers, and bounds that may shrink.
UPPER = ("lte", "lt", "max_len", "max_bytes", "max_items", "max_pairs")
LOWER = ("gte", "gt", "min_len", "min_bytes", "min_items", "min_pairs")


def facts(contract: Contract) -> dict[str, str]:
    """The facts of the contract: values by path."""
    found: dict[str, str] = {}
    for file in contract.files:
        for service in file.service:
            name = f"{file.package}.{service.name}"
            for method in Default().FindServiceByName(name).methods:
                found.update(of_method(method))
        for message in file.message_type:
            name = f"{file.package}.{message.name}"
            found.update(of_message(Default().FindMessageTypeByName(name)))
    found.update(of_reasons())
    return found


def of_method(method: MethodDescriptor) -> Iterator[tuple[str, str]]:
    name = f"{method.containing_service.name}.{method.name}"
    options = method.GetOptions()
    http = options.Extensions[annotations_pb2.http]
    for binding in (http, *http.additional_bindings):
        if verb_and_path := route(binding):
            yield f"{name} {verb_and_path} body", binding.body or "none"
            yield f"{name} {verb_and_path} response_body", binding.response_body or "whole"
    rule = options.Extensions[rule_pb2.rule]
    yield f"{name} permission", rule.permission or "public"
    yield f"{name} resource", rule.resource or "none"
    yield f"{name} minimum_role", rule_pb2.Rule.Role.Name(rule.minimum_role)
    yield f"{name} audit", rule.audit or "none"
    yield f"{name} idempotent_by_request_id", str(takes_request_id(method.input_type)).lower()
    yield f"{name} streams", streams(method)


def route(rule: http_pb2.HttpRule) -> str:
    pattern = rule.WhichOneof("pattern")
    if pattern == "custom":
        return f"{rule.custom.kind} {rule.custom.path}"
    return f"{pattern.upper()} {getattr(rule, pattern)}" if pattern else ""


def streams(method: MethodDescriptor) -> str:
    sides = ["request"] * method.client_streaming + ["response"] * method.server_streaming
    return " and ".join(sides) or "none"


def takes_request_id(message: Descriptor) -> bool:
    return "request_id" in message.fields_by_name


def of_message(message: Descriptor) -> Iterator[tuple[str, str]]:
    """The validation rules and defaults of a message's fields, including nested messages."""
    name = message.full_name.removeprefix(f"{message.file.package}.")
    yield f"{name} message", "known"
    for rule, value in leaves(message_rules(message)):
        yield f"{name} rule {rule}", value
    for field in message.fields:
        yield f"{name}.{field.name} field", type_of(field)
        for rule, value in leaves(field_rules(field)):
            yield f"{name}.{field.name} rule {rule}", value
        if default := field.GetOptions().Extensions[operation_pb2.parameter_rule].default_value:
            yield f"{name}.{field.name} default", default
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            yield from of_message(nested)


def type_of(field: FieldDescriptor) -> str:
    described = field.message_type or field.enum_type
    kind = described.full_name if described else KINDS[field.type]
    return f"repeated {kind}" if field.is_repeated else kind


def leaves(message: Message, path: str = "") -> Iterator[tuple[str, str]]:
    """The set values of a message, by path."""
    for field, value in message.ListFields():
        here = f"{path}{field.name}"
        if field.is_repeated:
            yield here, ", ".join(text_of(field, each) for each in value)
        elif field.message_type:
            yield from leaves(value, f"{here}.")
        else:
            yield here, text_of(field, value)


def text_of(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, Message):
        # Texts for humans may change.
        return "; ".join(f"{name}={text}" for name, text in leaves(value) if name != "message")
    if field.enum_type:
        return str(field.enum_type.values_by_number[value].name)  # type: ignore[index]
    return str(value).replace("\n", "\\n")


def of_reasons() -> Iterator[tuple[str, str]]:
    for value in error_reason_pb2.ErrorReason.Value.DESCRIPTOR.values:
        rule = value.GetOptions().Extensions[error_reason_pb2.error]
        if value.number:
            yield f"reason {value.name} code", code_pb2.Code.Name(rule.code)
            yield f"reason {value.name} http_status", str(rule.http_status)
            yield f"reason {value.name} metadata", ", ".join(sorted(rule.metadata)) or "none"
            yield f"reason {value.name} retriable", str(rule.retriable).lower()


def text(found: dict[str, str]) -> str:
    return HEAD + "".join(f"{path}: {value}\n" for path, value in sorted(found.items()))


def parse(released: str) -> dict[str, str]:
    lines = [line for line in released.splitlines() if line and not line.startswith("#")]
    return dict(split(line) for line in lines)


def split(line: str) -> tuple[str, str]:
    path, _, value = line.partition(": ")
    return path, value


def breaks(released: dict[str, str], current: dict[str, str]) -> list[str]:
    """Descriptions of the changes that break callers of the released contract."""
    found = []
    for path, old in released.items():
        new = current.get(path)
        if new is None and not restricts(path):
            found.append(f"removed: {path}: {old}")
        elif new is not None and new != old and not widens(path, old, new):
            found.append(f"changed: {path}: {old} -> {new}")
    for path in current.keys() - released.keys():
        owner = path.partition(" ")[0]
        known = f"{owner} field" in released or f"{owner} message" in released
        if known and restricts(path):
            found.append(f"new restriction: {path}: {current[path]}")
    return sorted(found)


def restricts(path: str) -> bool:
    """Whether a fact restricts requests."""
    return " rule " in path and not path.endswith(" ignore")


def widens(path: str, old: str, new: str) -> bool:
    """Whether the new fact still permits everything that the old one did."""
    if path.startswith("reason ") and path.endswith(" metadata"):
        return set(old.split(", ")) - {"none"} <= set(new.split(", "))
    if path.endswith(" idempotent_by_request_id"):
        return new == "true"
    last = path.removesuffix(".seconds").rpartition(".")[2]
    if last in UPPER:
        return float(new) >= float(old)
    if last in LOWER:
        return float(new) <= float(old)
    return False
