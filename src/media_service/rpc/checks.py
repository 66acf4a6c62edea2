"""The contract's rules for fields, at a cost that nobody can drive up."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from media_service.contract import field_rules
from media_service.errors import InvalidArgument, Reason

# Elements of a repeated field that has no max_items.
MOST_ELEMENTS = 1000
# A request with more elements is told of one violation only: each costs as much as all that is
# right.
FEW_ELEMENTS = 100
# Violations that are told at once.
MOST_TOLD = 20


class Checks:
    """Checks messages. Rules are followed by protovalidate, which looks at every element of a
    repeated field even if there are too many; so these are counted before."""

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()
        self._repeating: dict[str, bool] = {}

    def check(self, message: Message) -> None:
        """Raises InvalidArgument (INVALID_FIELD) for what is against the rules."""
        many = self._count(message, "") > FEW_ELEMENTS
        violations = self._validator.collect_violations(message, fail_fast=many)
        if violations:
            raise invalid_fields([told(violation) for violation in violations])

    def _count(self, message: Message, path: str) -> int:
        """How many elements repeated fields have, at any depth. Raises InvalidArgument if one has
        too many."""
        total = 0
        for field, value in message.ListFields():
            name = f"{path}{field.name}"
            if field.is_repeated:
                total += len(value)
                if len(value) > (most := most_elements(field)):
                    raise invalid_fields([(name, f"must contain no more than {most} item(s)")])
            if field.message_type is None or not self._repeats(field.message_type):
                continue
            total += sum(self._count(element, f"{name}.") for element in messages(field, value))
        return total

    def _repeats(self, kind: Descriptor) -> bool:
        """Whether messages of a kind have repeated fields, at any depth."""
        if kind.full_name not in self._repeating:
            self._repeating[kind.full_name] = True  # a kind that holds itself
            self._repeating[kind.full_name] = any(
                field.is_repeated
                or (field.message_type is not None and self._repeats(field.message_type))
                for field in kind.fields
            )
        return self._repeating[kind.full_name]


def most_elements(field: FieldDescriptor) -> int:
    """How many elements a repeated field, or a map, may have."""
    rules = field_rules(field)
    if rules.repeated.HasField("max_items"):
        return int(rules.repeated.max_items)
    return int(rules.map.max_pairs) if rules.map.HasField("max_pairs") else MOST_ELEMENTS


def messages(field: FieldDescriptor, value: Any) -> Iterable[Any]:
    """The messages that a field of messages holds: one, some, or those of a map."""
    if not field.is_repeated:
        return (value,)
    return value.values() if isinstance(value, Mapping) else value


def told(violation: protovalidate.Violation) -> tuple[str, str]:
    """The field, and what is wrong with it."""
    names = []
    for element in violation.proto.field.elements if violation.proto.field else []:
        which = element.subscript
        place = f"[{which.value}]" if which and which.field == "index" else ""
        names.append(f"{element.field_name}{place}")
    return ".".join(names), violation.proto.message


def invalid_fields(fields: Sequence[tuple[str, str]]) -> InvalidArgument:
    """Names some of the fields, and how many more there are."""
    shown = fields[:MOST_TOLD]
    summary = "; ".join(f"{name}: {message}" for name, message in shown)
    if more := len(fields) - len(shown):
        summary += f"; and {more} more"
    return InvalidArgument(
        Reason.INVALID_FIELD, f"The request is not valid: {summary}.", tuple(shown)
    )
