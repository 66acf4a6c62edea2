"""What Envoy's Lua filters know of the contract: the requests over REST, and their messages.

REQUESTS has the requests by the gRPC path of their method: `message`, their type, and `body`, the
field that the HTTP body holds, or "*" for all that the path has not.

MESSAGES has the messages in these requests at any depth, by type, and again by "TYPE in REQUEST" if
the path of a request has fields of it. Each is a list of fields:

- `name`, `json`: its two spellings.
- `message`: the type of a message or a list of messages. Messages with any keys have none.
- `scalar`, `list`: whether it is a scalar or a list of them; whether it is a list.
- `value`: of a map, the field of its values.
- `expects`: what a value must be, as the end of a sentence. `values`: the names of an enum.
- `output`: whether only responses need it. Requests may repeat it, without an effect.
- `bound`: whether the path has it.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor

from media_service.codecs.pipeline.catalogue import bounds, choices
from media_service.contract import descriptor_set

PACKAGE = "mediaservice.v1"

# Messages with any keys, and the body of uploads, which is not JSON.
FREE = {
    "google.api.HttpBody",
    "google.protobuf.Any",
    "google.protobuf.ListValue",
    "google.protobuf.Struct",
    "google.protobuf.Value",
}
MESSAGES = {
    "google.protobuf.Duration": 'a number of seconds with "s", such as "1.5s"',
    "google.protobuf.FieldMask": "the names of fields, separated by commas",
    "google.protobuf.Timestamp": 'a time such as "2026-01-31T12:00:00Z"',
}
SCALARS = {
    FieldDescriptor.TYPE_BOOL: "true or false",
    FieldDescriptor.TYPE_BYTES: "base64",
    FieldDescriptor.TYPE_STRING: "a string",
}
INTEGERS = {
    FieldDescriptor.TYPE_FIXED32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_UINT64: (0, (1 << 64) - 1),
}


def tables() -> str:
    """Both tables, as Lua code."""
    requests: dict[str, Mapping[str, str]] = {}
    messages: dict[str, list[Mapping[str, Any]]] = {}
    for service in services():
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            if rule.WhichOneof("pattern") is None:
                continue  # gRPC only
            message = method.input_type
            path = f"/{service.full_name}/{method.name}"
            requests[path] = {"message": message.full_name, "body": rule.body}
            add(messages, message, re.findall(r"\{([\w.]+)", str(rule)))
    return f"local REQUESTS = {lua(requests)}\nlocal MESSAGES = {lua(messages)}"


def services() -> Iterator[ServiceDescriptor]:
    """All services of the contract, from its stubs."""
    for file in descriptor_set().file:
        if file.service and file.package == PACKAGE:
            stubs = import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
            yield from stubs.DESCRIPTOR.services_by_name.values()


def add(
    messages: dict[str, list[Mapping[str, Any]]],
    message: Descriptor,
    bound: Collection[str] = (),
    key: str = "",
) -> None:
    """Adds a message, and those in its fields. `bound`: the fields that the path has. `key`: of a
    message in another one of which the path has a field; in other requests, it has not."""
    key = key or message.full_name
    if message.full_name in FREE or key in messages:
        return
    fields = messages[key] = []
    for field in message.fields:
        part = field.message_type
        inner = [name.partition(".")[2] for name in bound if name.startswith(f"{field.name}.")]
        inner_key = f"{part.full_name} in {key}" if part and inner else ""
        fields.append(field_of(field, field.name in bound, inner_key))
        if part:
            add(messages, part)
            if inner:
                add(messages, part, inner, inner_key)


def field_of(field: FieldDescriptor, bound: bool = False, key: str = "") -> Mapping[str, Any]:
    """`key`: of its message, if it is not the type."""
    message = field.message_type
    behavior = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return {
        "name": field.name,
        "json": field.json_name,
        "message": key or message.full_name if message and message.full_name not in FREE else "",
        "scalar": message is None,
        "list": field.is_repeated and not is_map(field),
        "value": field_of(message.fields_by_name["value"]) if message and is_map(field) else None,
        "expects": expected(field),
        "values": choices(field) or None,
        "output": field_behavior_pb2.OUTPUT_ONLY in behavior,
        "bound": bound,
    }


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def expected(field: FieldDescriptor) -> str:
    if field.message_type:
        return MESSAGES.get(field.message_type.full_name, "a JSON object")
    if field.enum_type:
        return f"one of {', '.join(choices(field))}"
    if field.type in SCALARS:
        return SCALARS[field.type]
    least, most = bounds(field)
    if field.type in INTEGERS:
        lowest, highest = INTEGERS[field.type]
        return f"a whole number from {least or lowest} to {most or highest}"
    return f"a number from {least} to {most}" if least and most else "a number"


def lua(value: Any) -> str:
    """A value as Lua code. Tables omit what is false or empty, but not lists."""
    if isinstance(value, Mapping):
        entries = (f"[{lua(k)}]={lua(v)}" for k, v in value.items() if v or isinstance(v, list))
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"{{{', '.join(map(lua, value))}}}"
    # The texts of the contract have the same escapes in JSON and in Lua.
    return json.dumps(value, ensure_ascii=False)
