"""Validates messages against the field rules of the contract, at a bounded cost."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from media_service.contract import field_rules, problem
from media_service.errors import InvalidArgument, Reason

# The limit of a repeated field without max_items.
DEFAULT_MAX_ITEMS = 1000
# Validation of a message with more elements stops at the first violation. A violation costs as much
# as validating the whole of a correct message.
FAIL_FAST_ELEMENTS = 100
# How many violations an error lists.
MAX_LISTED_VIOLATIONS = 20


class FieldValidator:
    """Counts the elements of repeated fields, then calls protovalidate, which would visit every
    element of a field that has too many. Protovalidate compiles the rules of a message once per
    process."""

    def __init__(self) -> None:
        self._repeating: dict[str, bool] = {}

    def check(self, message: Message) -> None:
        """Raises InvalidArgument (INVALID_FIELD)."""
        many = self._count(message, "") > FAIL_FAST_ELEMENTS
        violations = protovalidate.collect_violations(message, fail_fast=many)
        if violations:
            raise invalid_fields([field_violation(violation) for violation in violations])

    async def check_in_turns(self, message: Message) -> None:
        """As `check`, and lets other tasks run between the elements of a long list, such as the
        requests of a batch."""
        long = [field for field, value in message.ListFields() if is_long(field, value)]
        if not long:
            self.check(message)
            return
        self._count(message, "")
        rest = type(message)()
        rest.CopyFrom(message)
        for field in long:
            del getattr(rest, field.name)[1:]  # one is left, for rules of the list
            for index, element in enumerate(getattr(message, field.name)):
                if found := protovalidate.collect_violations(element, fail_fast=True):
                    name, why = field_violation(found[0])
                    raise invalid_fields([(f"{field.name}[{index}].{name}", why)])
                await asyncio.sleep(0)
        self.check(rest)

    def _count(self, message: Message, path: str) -> int:
        """Counts the elements of repeated fields at any depth. Raises InvalidArgument
        (INVALID_FIELD) if a field has too many."""
        total = 0
        for field, value in message.ListFields():
            name = f"{path}{field.name}"
            if field.is_repeated:
                total += len(value)
                if len(value) > (limit := max_items(field)):
                    raise invalid_fields(
                        [(name, f"must contain no more than {limit} item(s), but has {len(value)}")]
                    )
            if field.message_type is None or not self._repeats(field.message_type):
                continue
            total += sum(self._count(element, f"{name}.") for element in messages(field, value))
        return total

    def _repeats(self, message_type: Descriptor) -> bool:
        """Whether messages of this type have repeated fields at any depth."""
        if message_type.full_name not in self._repeating:
            self._repeating[message_type.full_name] = True  # the answer for a recursive type
            self._repeating[message_type.full_name] = any(
                field.is_repeated
                or (field.message_type is not None and self._repeats(field.message_type))
                for field in message_type.fields
            )
        return self._repeating[message_type.full_name]


def is_long(field: FieldDescriptor, value: Any) -> bool:
    """Whether a field is a long list of messages."""
    is_list = field.is_repeated and field.message_type and not isinstance(value, Mapping)
    return bool(is_list) and len(value) > FAIL_FAST_ELEMENTS


def max_items(field: FieldDescriptor) -> int:
    """How many elements a repeated field or a map may have."""
    rules = field_rules(field)
    if rules.repeated.HasField("max_items"):
        return int(rules.repeated.max_items)
    return int(rules.map.max_pairs) if rules.map.HasField("max_pairs") else DEFAULT_MAX_ITEMS


def messages(field: FieldDescriptor, value: Any) -> Iterable[Any]:
    """The messages in a field: a single one, those of a list, or the values of a map."""
    if not field.is_repeated:
        return (value,)
    return value.values() if isinstance(value, Mapping) else value


def field_violation(violation: protovalidate.Violation) -> tuple[str, str]:
    """The path of the field, and the problem."""
    names = []
    for element in violation.proto.field.elements if violation.proto.field else []:
        subscript = element.subscript
        index = f"[{subscript.value}]" if subscript and subscript.field == "index" else ""
        names.append(f"{element.field_name}{index}")
    return ".".join(names), problem(violation)


def invalid_fields(fields: Sequence[tuple[str, str]]) -> InvalidArgument:
    """Lists some of the fields and counts the others."""
    shown = fields[:MAX_LISTED_VIOLATIONS]
    summary = "; ".join(f"{name}: {message}" for name, message in shown)
    if more := len(fields) - len(shown):
        summary += f"; and {more} more"
    message = f"The request is not valid: {summary}" + "." * (not summary.endswith("?"))
    return InvalidArgument(Reason.INVALID_FIELD, message, tuple(shown))
