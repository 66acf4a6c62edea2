"""Reads and writes messages with content without copying the content.

Protobuf copies a field when it parses a message, when the field is read, and when a message is
serialized. So content is appended by hand to the serialized message, and read as a view of the
received bytes. All other fields go through protobuf. The format:
https://protobuf.dev/programming-guides/encoding/.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.api import httpbody_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from mediaservice.v1 import download_service_pb2

from media_service.storage.buffer import Buffer

LENGTH_DELIMITED, FIXED32 = 2, 5
# Fields of one message. The contract's have fewer, and a million would block all other calls.
MAX_FIELDS = 100
MAX_VARINT_BYTES = 10
# Up to this size in bytes, a copy takes less memory than a view.
SMALL = 1024

Serializer = Callable[[Any], bytes]
Deserializer = Callable[[bytes], Any]


def key(message: Any, field: str, wire_type: int) -> bytes:
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type)


def varint(value: int) -> bytes:
    low = bytearray()
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*low, value])


# Serialization

RESPONSE_DATA = key(download_service_pb2.DownloadResponse, "data", LENGTH_DELIMITED)
RESPONSE_CRC32C = key(download_service_pb2.DownloadResponse, "crc32c", FIXED32)
BODY_TYPE = key(httpbody_pb2.HttpBody, "content_type", LENGTH_DELIMITED)
BODY_DATA = key(httpbody_pb2.HttpBody, "data", LENGTH_DELIMITED)


def download_response(data: bytes, crc32c: int) -> bytes:
    """A serialized `DownloadResponse(data=data, crc32c=crc32c)`."""
    checksum = RESPONSE_CRC32C + struct.pack("<I", crc32c)
    return b"".join((RESPONSE_DATA, varint(len(data)), data, checksum))


def http_body(data: bytes, content_type: str = "") -> bytes:
    """A serialized `HttpBody(content_type=content_type, data=data)`."""
    name = content_type.encode()
    typed = (BODY_TYPE, varint(len(name)), name) if name else ()
    return b"".join((*typed, BODY_DATA, varint(len(data)), data))


def unless_serialized(serialize: Serializer | None) -> Serializer:
    """A serializer that passes through messages which are serialized already."""
    if serialize is None:
        raise ValueError("generated code gives every method a serializer")
    return lambda message: message if type(message) is bytes else serialize(message)


# Parsing


@dataclass(frozen=True, slots=True)
class Piece:
    """A streamed message with content: `data` is the value of its bytes field, and `message` has
    the other fields."""

    message: Any
    data: Buffer


def content_path(message: Any) -> tuple[int, ...]:
    """The numbers of the fields that lead to the content of a streamed message: its only field of
    bytes, or the data of its HttpBody. Raises ValueError if it has neither, or both."""
    paths: list[tuple[int, ...]] = []
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_BYTES:
            paths.append((field.number,))
        elif field.message_type is httpbody_pb2.HttpBody.DESCRIPTOR:
            paths.append((field.number, httpbody_pb2.HttpBody.DATA_FIELD_NUMBER))
    if len(paths) != 1:
        raise ValueError(f"{message.full_name}: a streamed message has one field for its content")
    return paths[0]


def deserializer(message: type[Message]) -> Deserializer:
    """A parser of streamed messages that returns `Piece`s. Raises DecodeError, as protobuf does."""
    path = content_path(message.DESCRIPTOR)

    def deserialize(raw: bytes) -> Piece:
        rest, data = detach(memoryview(raw), path)
        return Piece(message.FromString(rest), b"" if data is None else view_or_copy(data, raw))

    return deserialize


def view_or_copy(data: memoryview, raw: bytes) -> Buffer:
    """A view, or a copy if the view would keep a much larger `raw` in memory."""
    return bytes(data) if len(data) <= max(SMALL, len(raw) // 2) else data


def detach(raw: memoryview, path: Sequence[int]) -> tuple[bytes, memoryview | None]:
    """Splits a serialized message into the message without the field at `path`, and the value of
    that field. Of repeated occurrences, the last one counts, as in protobuf."""
    kept: list[Buffer] = []
    data: memoryview | None = None
    at, end, fields = 0, len(raw), 0
    while at < end:
        start = at
        fields += 1
        tag, value, at = read_field(raw, at)
        if fields > MAX_FIELDS:
            raise DecodeError(f"a message has more than {MAX_FIELDS} fields")
        if tag >> 3 != path[0] or value is None:
            kept.append(raw[start:at])
        elif len(path) == 1:
            data = value
        else:
            inner, found = detach(value, path[1:])
            data = data if found is None else found
            kept += (varint(tag), varint(len(inner)), inner)
    return b"".join(kept), data


def read_field(raw: memoryview, at: int) -> tuple[int, memoryview | None, int]:
    """The tag of the field at `at`, its value if it is length-delimited, and the position after
    it. Raises DecodeError."""
    tag, at = read_varint(raw, at)
    match tag & 7:
        case 0:  # a number
            length, at = 0, read_varint(raw, at)[1]
        case 1:  # eight bytes
            length = 8
        case 2:  # a length, then as many bytes
            length, at = read_varint(raw, at)
        case 5:  # four bytes
            length = 4
        case _:  # proto3 has no groups
            raise DecodeError("a field has an unknown wire type")
    end = at + length
    if end > len(raw):
        raise DecodeError("a field ends after its message")
    return tag, raw[at:end] if tag & 7 == LENGTH_DELIMITED else None, end


def read_varint(raw: memoryview, at: int) -> tuple[int, int]:
    """The number at `at`, and the position after it."""
    value = 0
    for index, byte in enumerate(raw[at : at + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte <= 0x7F:
            return value, at + index + 1
    raise DecodeError("a number has no end, or more than 64 bits")
