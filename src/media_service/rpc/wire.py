"""Content as the bytes that gRPC sends. A message would copy its data in, and twice more to write
it; joined by hand, the bytes are copied once.

Fields as in the protobuf encoding (https://protobuf.dev/programming-guides/encoding/): a key, of
the field's number and how it is written, then for bytes their length and themselves.
"""

import struct
from collections.abc import Callable
from typing import Any

from google.api import httpbody_pb2
from media.v1 import download_service_pb2

LENGTH_DELIMITED = 2
FIXED32 = 5

Serializer = Callable[[Any], bytes]


def key(message: Any, field: str, wire_type: int) -> bytes:
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type)


def varint(value: int) -> bytes:
    low = bytearray()
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*low, value])


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
    return lambda message: (
        message if type(message) is bytes or not serialize else serialize(message)
    )
