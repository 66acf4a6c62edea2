"""The conventions of the contract, after Google's API improvement proposals (aip.dev)."""

import re
from collections.abc import Iterator

import pytest
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
    MethodDescriptor,
)
from google.protobuf.descriptor_pool import Default

from contract.descriptors import Contract
from contract.examples import commands
from media_service.contract import field_rules
from tests.support.contract_rules import METHODS, rule_of

CONTRACT = Contract.current()
FILES = [Default().FindFileByName(file.name) for file in CONTRACT.files]
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.rpartition("/")[2])
# Their fields are options of the contract, never sent.
OPTIONS = {"Rule", "ErrorRule", "OperationRule", "ParameterRule"}
# Fields whose name and type say everything.
SELF_EXPLAINING = {
    *("create_time", "update_time", "media_id", "upload_id", "job_id", "width", "height"),
    *("requests", "media", "upload", "uploads", "job", "jobs", "part", "parts", "page_token"),
    *("page_size", "next_page_token", "body", "data", "view", "state", "type", "priority"),
}


def messages(file: FileDescriptor) -> Iterator[Descriptor]:
    waiting = list(file.message_types_by_name.values())
    while waiting:
        message = waiting.pop()
        if not message.GetOptions().map_entry:
            yield message
            waiting += message.nested_types


def enums(file: FileDescriptor) -> Iterator[EnumDescriptor]:
    yield from file.enum_types_by_name.values()
    for message in messages(file):
        yield from message.enum_types


def fields(file: FileDescriptor) -> Iterator[FieldDescriptor]:
    for message in messages(file):
        yield from message.fields


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message type of a field."""
    assert field.message_type is not None
    return field.message_type


def parent_of(field: FieldDescriptor) -> Descriptor:
    assert field.containing_type is not None
    return field.containing_type


def behaviors(field: FieldDescriptor) -> set[str]:
    numbers = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return {field_behavior_pb2.FieldBehavior.Name(number) for number in numbers}


@each_file
def test_every_field_has_a_field_behavior(file: FileDescriptor) -> None:
    silent = [
        field.full_name
        for field in fields(file)
        if parent_of(field).name not in OPTIONS and not behaviors(field)
    ]
    assert not silent


@each_file
def test_every_element_of_the_contract_has_a_comment(file: FileDescriptor) -> None:
    names = [service.full_name for service in file.services_by_name.values()]
    names += [m.full_name for s in file.services_by_name.values() for m in s.methods]
    names += [message.full_name for message in messages(file)]
    names += [field.full_name for field in fields(file) if field.name not in SELF_EXPLAINING]
    for enum in enums(file):
        names += [enum.full_name]
        names += [f"{enum.full_name}.{value.name}" for value in enum.values if value.number]
    silent = [name for name in names if not CONTRACT.comment(name).text]
    assert not silent


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_rpc_has_an_example(method: MethodDescriptor) -> None:
    found = commands(CONTRACT.comment(method.full_name).text)
    assert found
    if method.GetOptions().HasExtension(annotations_pb2.http):
        assert any(each.startswith("curl ") for each in found)


@each_file
def test_comments_do_not_repeat_field_behavior(file: FileDescriptor) -> None:
    names = [message.full_name for message in messages(file)]
    names += [field.full_name for field in fields(file)]
    telling = [n for n in names if re.search(r"output only", CONTRACT.comment(n).text, re.I)]
    assert not telling


@each_file
def test_field_names_end_in_their_unit(file: FileDescriptor) -> None:
    wrong = [
        field.full_name
        for field in fields(file)
        if parent_of(field).name not in OPTIONS and not is_named_well(field)
    ]
    assert not wrong


def is_named_well(field: FieldDescriptor) -> bool:
    name, described = field.name, field.message_type
    if described and described.full_name == "google.protobuf.Timestamp":
        return name == "time" or name.endswith("_time")
    if described and described.full_name == "google.protobuf.Duration":
        return name == "ttl"
    if field.type == FieldDescriptor.TYPE_INT64 and "size" in name:
        return name.endswith("size_bytes")
    if "bit_rate" in name or "kbps" in name:
        return name.endswith("bit_rate_kbps")
    if name.endswith("seconds"):
        return name.endswith("_seconds") or name == "seconds"
    return "lifetime" not in name


@each_file
def test_enums_are_nested_and_their_zero_is_unspecified(file: FileDescriptor) -> None:
    assert not file.enum_types_by_name
    for enum in enums(file):
        assert re.fullmatch(r"([A-Z]+_)*UNSPECIFIED", enum.values_by_number[0].name), enum.full_name


LISTS = [method for method in METHODS if "page_token" in method.input_type.fields_by_name]


@pytest.mark.parametrize("method", LISTS, ids=lambda method: method.name)
def test_lists_are_paged(method: MethodDescriptor) -> None:
    asked, given = method.input_type.fields_by_name, method.output_type.fields_by_name
    assert asked["page_size"].type == FieldDescriptor.TYPE_INT32
    assert asked["page_token"].type == FieldDescriptor.TYPE_STRING
    assert given["next_page_token"].type == FieldDescriptor.TYPE_STRING
    assert method.output_type.fields[0].is_repeated


def test_every_list_is_paged() -> None:
    names = {method.name for method in METHODS if method.name.startswith("List")}
    assert names - {method.name for method in LISTS} == {"ListOperations"}


BATCHES = [method for method in METHODS if "requests" in method.input_type.fields_by_name]
CHANGES_OF_SELECTED = [
    method
    for method in METHODS
    if method.name.startswith("Batch") and method not in BATCHES and rule_of(method).audit
]


@pytest.mark.parametrize("method", CHANGES_OF_SELECTED, ids=lambda method: method.name)
def test_batches_of_selected_media_answer_each_of_them(method: MethodDescriptor) -> None:
    asked, given = method.input_type.fields_by_name, method.output_type.fields_by_name
    assert {"media_ids", "filter", "atomic", "validate_only"} <= set(asked)
    assert set(given) == {"results", "changed_count", "failed_count", "selected_count", "job"}
    assert field_rules(asked["media_ids"]).repeated.max_items == 1000
    assert message_of(given["results"]).name == "BatchResult"


@pytest.mark.parametrize("method", BATCHES, ids=lambda method: method.name)
def test_batches_answer_each_request(method: MethodDescriptor) -> None:
    asked, given = method.input_type.fields_by_name, method.output_type.fields_by_name
    assert set(given) == {"results"}
    assert "atomic" in asked
    rules = field_rules(asked["requests"]).repeated
    assert (rules.min_items, rules.max_items) == (1, 1000)
    (oneof,) = message_of(given["results"]).oneofs
    kinds = [message_of(field).full_name for field in oneof.fields]
    assert oneof.name == "result"
    assert kinds[-1] == "google.rpc.Status"


STARTS = [
    m for m in METHODS if rule_of(m).audit in {"uploads.create", "renditions.create", "jobs.retry"}
]
STARTS += [method for method in METHODS if method.name in {"WriteUpload", "UploadMedia"}]
# They skip media for which they have started a job already.
STARTS = [method for method in STARTS if method not in CHANGES_OF_SELECTED]


@pytest.mark.parametrize("method", STARTS, ids=lambda method: method.name)
def test_methods_that_create_or_start_take_a_request_id(method: MethodDescriptor) -> None:
    message = method.input_type
    if method.name.startswith("Batch"):
        message = message_of(message.fields_by_name["requests"])
    assert field_rules(message.fields_by_name["request_id"]).string.uuid
