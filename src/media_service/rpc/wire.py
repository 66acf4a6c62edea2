"""Content on its way between gRPC's bytes and ours, without the copies that messages would make.

Protobuf copies a field in when a message is read, out when the field is asked for, and again when a
message is written. So what is large is joined by hand to the bytes that are sent, and taken as a
view of the bytes that came; all other fields go through protobuf. Fields as in the encoding
(https://protobuf.dev/programming-guides/encoding/): a key, of the field's number and how it is
written, then for bytes their length and themselves.
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
# Fields of one message. Ours have fewer; a million of them would hold up everybody else.
MOST_FIELDS = 100
LONGEST_VARINT = 10  # bytes
# Up to here a copy takes less room than a view.
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


# Written

RESPONSE_DATA = key(download_service_pb2.DownloadResponse, "data", LENGTH_DELIMITED)
RESPONSE_CRC32C = key(download_service_pb2.DownloadResponse, "crc32c", FIXED32)
BODY_DATA = key(httpbody_pb2.HttpBody, "data", LENGTH_DELIMITED)


def download_response(data: bytes, crc32c: int) -> bytes:
    """A serialized `DownloadResponse(data=data, crc32c=crc32c)`."""
    checksum = RESPONSE_CRC32C + struct.pack("<I", crc32c)
    return b"".join((RESPONSE_DATA, varint(len(data)), data, checksum))


def http_body(data: bytes) -> bytes:
    """A serialized `HttpBody(data=data)`."""
    return b"".join((BODY_DATA, varint(len(data)), data))


def unless_serialized(serialize: Serializer | None) -> Serializer:
    """The serializer of a method that also answers with bytes made here."""
    if serialize is None:
        raise ValueError("generated code gives every method a serializer")
    return lambda message: message if type(message) is bytes else serialize(message)


# Read


@dataclass(frozen=True, slots=True)
class Piece:
    """A message of a stream that carries content: `data` is what its bytes field held, and
    `message` the rest."""

    message: Any
    data: Buffer


def content_path(message: Any) -> tuple[int, ...]:
    """The numbers of the fields that lead to the content of a streamed message: its one field of
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
    """Reads `Piece`s of a streamed message. Raises DecodeError, as protobuf does."""
    path = content_path(message.DESCRIPTOR)

    def deserialize(raw: bytes) -> Piece:
        rest, data = detach(memoryview(raw), path)
        return Piece(message.FromString(rest), b"" if data is None else let_go(data, raw))

    return deserialize


def let_go(data: memoryview, raw: bytes) -> Buffer:
    """A view, or a copy where a view would keep much more than itself in memory: all of `raw`."""
    return bytes(data) if len(data) <= max(SMALL, len(raw) // 2) else data


def detach(raw: memoryview, path: Sequence[int]) -> tuple[bytes, memoryview | None]:
    """A serialized message without the field at `path`, and what that held; the last one counts, as
    everywhere in protobuf."""
    kept: list[Buffer] = []
    data: memoryview | None = None
    at, end, fields = 0, len(raw), 0
    while at < end:
        start = at
        fields += 1
        tag, at = read_varint(raw, at)
        match tag & 7:
            case 0:  # a number
                length, at = 0, read_varint(raw, at)[1]
            case 1:  # eight bytes
                length = 8
            case 2:  # as many as it says
                length, at = read_varint(raw, at)
            case 5:  # four bytes
                length = 4
            case _:  # groups are not for proto3
                raise DecodeError("a field is written in a way that is not known")
        if at + length > end:
            raise DecodeError("a field reaches past the end of its message")
        if fields > MOST_FIELDS:
            raise DecodeError(f"a message has more than {MOST_FIELDS} fields")
        if tag >> 3 != path[0] or tag & 7 != LENGTH_DELIMITED:
            kept.append(raw[start : at + length])
        elif len(path) == 1:
            data = raw[at : at + length]
        else:
            inner, found = detach(raw[at : at + length], path[1:])
            data = data if found is None else found
            kept += (varint(tag), varint(len(inner)), inner)
        at += length
    return b"".join(kept), data


def read_varint(raw: memoryview, at: int) -> tuple[int, int]:
    """The number at `at`, and where what follows it begins."""
    value = 0
    for place, byte in enumerate(raw[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * place
        if byte <= 0x7F:
            return value, at + place + 1
    raise DecodeError("a number has no end, or more than 64 bits")
