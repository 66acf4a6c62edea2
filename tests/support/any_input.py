"""Arbitrary input for every field of every method, from the contract's descriptors.

A request is valid but for one field, which has an arbitrary value. So the input reaches the code
behind the rules of the other fields, and a new method or field needs no new test.
"""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.api import field_behavior_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from media_service.ids import new_id
from media_service.rpc.server import SERVICES

# Descriptors of protobuf have no common type in Python.
Descriptor: TypeAlias = Any
Path: TypeAlias = tuple[Descriptor, ...]

# How often each field is tried: once in CI, which takes seconds, and more often in a soak.
ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1"))
SEED = int(os.environ.get("SOAK_SEED", "14"))
# Stands for bytes that are not UTF-8, which a message in Python cannot hold.
MARK = "not-utf-8!"
NOT_UTF8 = b"\xff\xfe\x80\xc0\xed\xa0\x80\xf5\xf6\xf7"
TEXTS = [
    *(MARK, "\0", "a\0b"),
    *("x" * 100_000, "\U0001f3d6" * 5000, "9" * 400, "1" * 5000),
    *("nan", "-1", "1e400", "true", "null", "*", "%", "'", '"', "\\", "..", "/", "../" * 9, " "),
    *("not-a-uuid", new_id().upper(), f"{{{new_id()}}}", "\ufeff", "\u202e\r\n", "a=b", "(" * 900),
    *("2026-01-01T00:00:00Z", "0000-00-00", "resize:" + "9" * 400, "text:~FF", "image/png;q=0"),
]
INTEGERS = [0, 1, -1, 2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1]
NUMBERS = [0.0, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf")]
# The values of `FieldDescriptor.type`: https://protobuf.dev/reference/protobuf/google.protobuf/
STRING, MESSAGE, BYTES, ENUM, BOOL = 9, 11, 12, 14, 8
FLOATS = {1, 2}
MAX_DEPTH = 6
ENDS = (
    *("Abort", "Cancel", "Complete", "Delete", "Erase", "Purge", "Remove", "Revoke", "Transfer"),
    "UpdateShareLink",
)


def generator() -> random.Random:
    return random.Random(SEED)  # noqa: S311 - not a secret


def methods() -> Iterator[tuple[str, Descriptor]]:
    """Every method with its path. Those that end something come last."""

    def ends(method: Descriptor) -> bool:
        return str(method.name).startswith(ENDS)

    every = [(service, method) for service in SERVICES for method in service.methods]
    for service, method in sorted(every, key=lambda it: ends(it[1])):
        yield f"/{service.full_name}/{method.name}", method


def is_map(field: Descriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def required(field: Descriptor) -> bool:
    behavior = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behavior


def leaves(message: Descriptor, depth: int = 0) -> Iterator[Path]:
    """The paths of all fields of a request that are not messages."""
    for field in message.fields:
        if field.type != MESSAGE:
            yield (field,)
        elif depth < MAX_DEPTH:
            for path in leaves(field.message_type, depth + 1):
                yield (field, *path)


def values(field: Descriptor) -> Sequence[Any]:
    """Arbitrary values that the field can hold."""
    if field.type == STRING:
        return TEXTS
    if field.type == BYTES:
        return [b"\0", b"\xff" * 1000, b"--b\r\n", b"x" * 3]
    if field.type in FLOATS:
        return NUMBERS
    if field.type == BOOL:
        return [True, False]
    if field.type == ENUM:
        return [0, 1, 12345, -1, 2**31 - 1]
    return [number for number in INTEGERS if holds(field, number)]


def holds(field: Descriptor, number: int) -> bool:
    message = GetMessageClass(field.containing_type)()
    try:
        if field.is_repeated:
            getattr(message, field.name).append(number)
        else:
            setattr(message, field.name, number)
    except (ValueError, TypeError):
        return False
    return True


@dataclass(frozen=True)
class Requests:
    """Builds requests. `known`: valid values of fields by name, such as the id of a media."""

    known: Mapping[str, Any]
    rng: random.Random

    def valid(self, message: Descriptor) -> Message:
        """A request with all known and required fields."""
        built = GetMessageClass(message)()
        for field in message.fields:
            if field.name in self.known and field.type != MESSAGE:
                if field.is_repeated:
                    getattr(built, field.name).extend(self.known[field.name])
                else:
                    setattr(built, field.name, self.known[field.name])
            elif field.type == MESSAGE and not is_map(field) and required(field):
                inner = self.valid(field.message_type)
                target = getattr(built, field.name)
                (target.add() if field.is_repeated else target).CopyFrom(inner)
        return built

    def with_value(self, message: Descriptor, path: Path, value: Any) -> Message:
        built = self.valid(message)
        self._set(built, path, value)
        return built

    def _set(self, message: Any, path: Path, value: Any) -> None:
        field, *rest = path
        target = getattr(message, field.name)
        if is_map(field):
            part, *inner = rest
            entry = {"key": "key", "value": "value", part.name: value}
            if field.message_type.fields_by_name["value"].type != MESSAGE:
                target[entry["key"]] = entry["value"]
            elif inner:
                self._set(target["key"], tuple(inner), value)
            else:
                target[value].SetInParent()
        elif rest:
            inner = target
            if field.is_repeated:
                inner = target[0] if target else target.add()
            inner.SetInParent()
            self._set(inner, tuple(rest), value)
        elif field.is_repeated:
            target.append(value)
        else:
            setattr(message, field.name, value)

    def cases(self, message: Descriptor) -> Iterator[tuple[str, Any, bytes]]:
        """The name of a field, its value, and the serialized request; for each field."""
        for path in leaves(message):
            name = ".".join(field.name for field in path)
            for value in self._chosen(path):
                request = self.with_value(message, path, value)
                yield name, value, serialized(request)

    def _chosen(self, path: Path) -> Sequence[Any]:
        """Every text is tried with bytes that are not UTF-8 or with a NUL. An operation has many
        fields that are alike."""
        possible = values(path[-1])
        always = self.rng.choices(TEXTS[:2]) if path[-1].type == STRING else []
        alike = any(field.message_type and "Operation" in field.message_type.name for field in path)
        if alike and ROUNDS == 1 and self.rng.random() < 0.9:
            return []
        return [*always, *self.rng.choices(possible, k=ROUNDS)]

    def garbage(self, message: Descriptor) -> Iterator[bytes]:
        """Bytes that are not a request, or not a valid one."""
        whole = self.valid(message).SerializeToString()
        for _ in range(ROUNDS):
            yield self.rng.randbytes(self.rng.choice([1, 3, 10, 100]))
            yield whole[: self.rng.randrange(len(whole) + 1)] + b"\xff"
            yield b"\x0a\x02" * self.rng.choice([1, 50])
            yield nested(self.rng.choice([3, 200]))


def nested(depth: int) -> bytes:
    """A message in field 1 of a message, and so on. Decoders have a limit."""
    raw = b""
    for _ in range(depth):
        raw = b"\x0a" + varint(len(raw)) + raw
    return raw


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128, number >> 7])


def serialized(request: Message) -> bytes:
    return request.SerializeToString().replace(MARK.encode(), NOT_UTF8)
