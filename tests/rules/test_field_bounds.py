"""Every field of a request has a bound, in messages at any depth.

The rules are tried on values, so any rule that refuses them is good.
"""

from collections.abc import Iterator
from typing import Any

import protovalidate
import pytest
from google.api import field_behavior_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from media_service.rpc.field_validation import DEFAULT_MAX_ITEMS, max_items
from tests.support.any_input import BYTES, ENUM, FLOATS, MESSAGE, STRING, is_map
from tests.support.contract_rules import METHODS

# Parsed by the service, which refuses what it does not understand with a reason of its own.
PARSED = {"content_type", "filter", "order_by", "ops", "page_token", "token", "ticket", "path"}
# Compared with names and etags of the service, and not stored.
COMPARED = {"rendition", "etag", "if_etag"}
# Ignored: the caller may send back what it read.
OUTPUT_ONLY = field_behavior_pb2.OUTPUT_ONLY
SIGNED, FIXED32 = {3, 5, 15, 16, 17, 18}, 7
LONG = "x" * 10_000
VALIDATOR = protovalidate.Validator()


def reachable() -> Iterator[Any]:
    """The fields of requests and of the contract's messages in them, other than output."""
    seen: set[str] = set()
    waiting = [method.input_type for method in METHODS]
    while waiting:
        message = waiting.pop()
        if message.full_name in seen or not message.full_name.startswith("mediaservice."):
            continue
        seen.add(message.full_name)
        for field in message.fields:
            behavior = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
            if OUTPUT_ONLY not in behavior:
                yield field
                if field.message_type and not is_map(field):
                    waiting.append(field.message_type)


FIELDS = list(reachable())


def of_type(*types: int) -> list[Any]:
    return [field for field in FIELDS if field.type in types]


def refused(message: Message, field: Any) -> bool:
    """Whether a rule of the field refuses the message."""
    return any(
        violation.proto.field and violation.proto.field.elements[0].field_name == field.name
        for violation in VALIDATOR.collect_violations(message)
    )


def with_value(field: Any, value: Any) -> Message:
    message = GetMessageClass(field.containing_type)()
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)
    return message


def name_of(field: Any) -> str:
    return str(field.full_name)


@pytest.mark.parametrize("field", of_type(STRING), ids=name_of)
def test_a_text_has_a_maximum_length_and_no_nul(field: Any) -> None:
    assert refused(with_value(field, LONG), field)
    if field.name not in PARSED | COMPARED:
        assert refused(with_value(field, "\0"), field)
        assert refused(with_value(field, "a\0b"), field)


@pytest.mark.parametrize("field", of_type(BYTES), ids=name_of)
def test_only_content_has_no_maximum_length(field: Any) -> None:
    """A message as a whole has one."""
    content = {"mediaservice.v1.WriteUploadRequest.data"}
    assert refused(with_value(field, LONG.encode()), field) or field.full_name in content


@pytest.mark.parametrize("field", of_type(*FLOATS), ids=name_of)
def test_a_number_is_finite(field: Any) -> None:
    for value in (float("nan"), float("inf"), float("-inf"), 1e300):
        assert refused(with_value(field, value), field)


@pytest.mark.parametrize("field", of_type(*SIGNED), ids=name_of)
def test_a_signed_number_has_a_minimum(field: Any) -> None:
    """An offset of Download may be negative: it counts from the end."""
    from_the_end = {"mediaservice.v1.DownloadRequest.offset"}
    assert refused(with_value(field, -(2**31)), field) or field.full_name in from_the_end


@pytest.mark.parametrize("field", of_type(ENUM), ids=name_of)
def test_an_enum_has_only_defined_values(field: Any) -> None:
    assert refused(with_value(field, 12345), field)


@pytest.mark.parametrize("field", [f for f in FIELDS if f.is_repeated], ids=name_of)
def test_a_list_has_a_maximum_length(field: Any) -> None:
    """Validation counts the elements first, at any depth."""
    assert max_items(field) <= 10 * DEFAULT_MAX_ITEMS


@pytest.mark.parametrize("field", [f for f in FIELDS if is_map(f)], ids=name_of)
@pytest.mark.parametrize("entry", [{LONG: ""}, {"k": LONG}, {"\0": ""}, {"k": "\0"}])
def test_the_keys_and_values_of_a_map_have_a_maximum_length(
    field: Any, entry: dict[str, str]
) -> None:
    message = GetMessageClass(field.containing_type)()
    getattr(message, field.name).update(entry)
    assert refused(message, field)


def test_all_types_of_fields_are_known() -> None:
    """Fields of other types need a test of their own."""
    assert {field.type for field in FIELDS} <= {
        STRING,
        BYTES,
        MESSAGE,
        ENUM,
        *FLOATS,
        3,
        5,
        7,
        8,
        13,
    }
