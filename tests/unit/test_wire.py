"""Content written by hand reads as the messages of the contract."""

import pytest
from google.api import httpbody_pb2
from media.v1 import download_service_pb2

from media_service.rpc import wire

SIZES = [0, 1, 127, 128, 16383, 16384, 512 << 10, 3 << 20]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crc32c", [0, 1, 0xFFFFFFFF])
def test_a_download_response_reads_as_what_was_written(size: int, crc32c: int) -> None:
    data = bytes(size)
    message = download_service_pb2.DownloadResponse.FromString(wire.download_response(data, crc32c))
    assert message == download_service_pb2.DownloadResponse(data=data, crc32c=crc32c)


@pytest.mark.parametrize("size", SIZES)
def test_a_body_reads_as_what_was_written(size: int) -> None:
    data = bytes(size)
    assert httpbody_pb2.HttpBody.FromString(wire.http_body(data)) == httpbody_pb2.HttpBody(
        data=data
    )


def test_a_serializer_leaves_bytes_as_they_are() -> None:
    serialize = wire.unless_serialized(httpbody_pb2.HttpBody.SerializeToString)
    assert serialize(b"ready") == b"ready"
    assert serialize(httpbody_pb2.HttpBody(data=b"a")) == wire.http_body(b"a")
