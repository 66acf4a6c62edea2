"""Generates the Python enum `Reason` of the domain from the enum in the contract."""

from mediaservice.v1 import error_reason_pb2

HEAD = '''"""The reasons of errors. Generated from error_reason.proto by `make gen`; do not edit."""

from enum import StrEnum


class Reason(StrEnum):
    """Stable identifiers, documented in docs/errors.md: callers may match on them."""

'''


def module() -> str:
    values = error_reason_pb2.ErrorReason.Value.DESCRIPTOR.values
    return HEAD + "".join(f'    {each.name} = "{each.name}"\n' for each in values if each.number)
