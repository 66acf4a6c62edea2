"""Decodes request messages. Bytes that are not a message are an error of the service, not of gRPC:
the gate raises it after authentication, with a reason."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from media_service.errors import InvalidArgument, Reason
from media_service.rpc import wire
from media_service.rpc.field_validation import invalid_fields
from media_service.rpc.server_options import MAX_MESSAGE

MAX_DEPTH = 10
# In how many fields of an undecodable message the cause is searched.
MAX_SEARCHED = 1000


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Takes the place of a request that cannot be decoded."""

    error: InvalidArgument


def decoding(
    parse: Callable[[bytes], Any], message: type[Message], most: int = MAX_MESSAGE
) -> Callable[[bytes], Any]:
    """A deserializer that returns `Undecodable` for more than `most` bytes, and where `parse`
    raises DecodeError."""

    def decode(raw: bytes) -> Any:
        if len(raw) > most:
            return Undecodable(too_large(len(raw), most))
        try:
            return parse(raw)
        except DecodeError:
            return Undecodable(error_of(raw, message.DESCRIPTOR))

    return decode


def too_large(size: int, most: int) -> InvalidArgument:
    return InvalidArgument(
        Reason.INVALID_REQUEST,
        f"A message of the call has {size} bytes; the limit is {most}. Send smaller pieces of a"
        " file or fewer items of a batch.",
    )


def error_of(raw: bytes, message: Any) -> InvalidArgument:
    try:
        path = Search().field_without_utf8(memoryview(raw), message, 0)
    except DecodeError:
        path = ""
    if path:
        return invalid_fields([(path, "must be UTF-8")])
    return InvalidArgument(
        Reason.INVALID_REQUEST, f"The request is not a serialized {message.full_name}."
    )


class Search:
    """A search through the fields of a message, which ends after `MAX_SEARCHED` of them."""

    def __init__(self) -> None:
        self._left = MAX_SEARCHED

    def field_without_utf8(self, raw: memoryview, message: Any, depth: int) -> str:
        """The path of a string that is not UTF-8; empty if none is found. Raises DecodeError."""
        at = 0
        while at < len(raw) and self._left and depth < MAX_DEPTH:
            self._left -= 1
            tag, value, at = wire.read_field(raw, at)
            field = message.fields_by_number.get(tag >> 3)
            if value is None or field is None:
                continue
            if field.type == FieldDescriptor.TYPE_STRING and not is_utf8(value):
                return str(field.name)
            if field.message_type is not None:
                inner = self.field_without_utf8(value, field.message_type, depth + 1)
                if inner:
                    return f"{field.name}.{inner}"
        return ""


def is_utf8(text: memoryview) -> bool:
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
