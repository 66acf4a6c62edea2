"""What the contract contains beyond its stubs: comments, and rules for fields.

The stubs contain the rules as bytes without a type (`protos/gen.py`), so they are read here with
the descriptors of `buf.validate`, which are part of the contract's descriptors.
"""

from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass


def descriptor_set() -> FileDescriptorSet:
    """Every file of the contract with its comments, and every file that these import."""
    return FileDescriptorSet.FromString((files("mediaservice") / "mediaservice.binpb").read_bytes())


def descriptor_pool() -> DescriptorPool:
    """The same files in a pool of their own: in the process's pool, fields have no rules."""
    pool = DescriptorPool()
    for file in descriptor_set().file:
        pool.Add(file)
    return pool


@cache
def _field_options() -> tuple[type[Message], Any]:
    """The class of a field's options, and its extension `buf.validate.field`."""
    pool = descriptor_pool()
    options = GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FieldOptions"))
    return options, pool.FindExtensionByName("buf.validate.field")


# The rules for sizes: of texts and bytes, lists and maps.
LENGTHS = {
    *("len", "min_len", "max_len"),
    *("min_items", "max_items", "min_pairs", "max_pairs"),
}
BYTES = {"len_bytes", "min_bytes", "max_bytes"}
BOUNDS = {"gt", "gte", "gt_lt", "gt_lte", "gte_lt", "gte_lte", "lt", "lte"}


def problem(violation: Any) -> str:
    """What is wrong with a field, from a `protovalidate.Violation`: the limit and the actual size
    or number."""
    message: str = violation.proto.message
    rule, value = violation.proto.rule_id.rpartition(".")[2], violation.field_value
    if rule in BOUNDS and isinstance(value, int | float):
        return f"{message}, but is {value}"
    if rule in BYTES and isinstance(value, str):
        return f"{message}, but has {len(value.encode())}"
    return f"{message}, but has {len(value)}" if rule in LENGTHS and value is not None else message


def field_rules(field: FieldDescriptor) -> Any:
    """The `buf.validate.FieldRules` of a field; without rules, an empty message."""
    options, rules = _field_options()
    return options.FromString(field.GetOptions().SerializeToString()).Extensions[rules]
