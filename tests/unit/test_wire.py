"""Hand-encoded content is read as messages of the contract."""

from typing import Any

import pytest
from google.api import httpbody_pb2
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from mediaservice.v1 import checksums_pb2, download_service_pb2, upload_pb2, upload_service_pb2

from media_service.rpc import wire

WriteUpload = upload_service_pb2.WriteUploadRequest
AppendUpload = upload_service_pb2.AppendUploadRequest

SIZES = [0, 1, 127, 128, 16383, 16384, 512 << 10, 3 << 20]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crc32c", [0, 1, 0xFFFFFFFF])
def test_a_download_response_round_trips(size: int, crc32c: int) -> None:
    data = bytes(size)
    message = download_service_pb2.DownloadResponse.FromString(wire.download_response(data, crc32c))
    assert message == download_service_pb2.DownloadResponse(data=data, crc32c=crc32c)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("content_type", ["", "image/jpeg", "a/" + "é" * 100])
def test_a_body_round_trips(size: int, content_type: str) -> None:
    data = bytes(size)
    message = httpbody_pb2.HttpBody.FromString(wire.http_body(data, content_type))
    assert message == httpbody_pb2.HttpBody(content_type=content_type, data=data)


def test_a_serializer_passes_bytes_through() -> None:
    serialize = wire.unless_serialized(httpbody_pb2.HttpBody.SerializeToString)
    assert serialize(b"ready") == b"ready"
    assert serialize(httpbody_pb2.HttpBody(data=b"a")) == wire.http_body(b"a")


def read(message: Any) -> wire.Piece:
    piece = wire.deserializer(type(message))(message.SerializeToString())
    assert isinstance(piece, wire.Piece)
    return piece


writes = st.builds(
    WriteUpload,
    upload_id=st.text(),
    offset=st.integers(0, 2**63 - 1),
    data=st.binary(),
    crc32c=st.none() | st.integers(0, 2**32 - 1),
    finish=st.booleans(),
    checksums=st.none() | st.builds(checksums_pb2.Checksums, sha256=st.binary()),
)
appends = st.builds(
    AppendUpload,
    upload_id=st.text(),
    body=st.builds(httpbody_pb2.HttpBody, content_type=st.text(), data=st.binary()),
)


@given(writes)
def test_a_message_and_its_data_are_both_read(message: WriteUpload) -> None:
    piece = read(message)
    assert piece.data == message.data
    message.ClearField("data")
    assert piece.message == message


@given(appends)
def test_a_body_and_its_data_are_both_read(message: AppendUpload) -> None:
    piece = read(message)
    assert piece.data == message.body.data
    message.body.ClearField("data")
    assert piece.message == message


@given(st.tuples(writes, writes) | st.tuples(appends, appends))
def test_concatenated_messages_are_merged_as_protobuf_does(twice: tuple[Any, Any]) -> None:
    agree(type(twice[0]), b"".join(message.SerializeToString() for message in twice))


@given(writes | appends, st.data())
def test_a_truncated_message_is_refused_or_read_as_protobuf_does(
    message: Any, data: st.DataObject
) -> None:
    raw = message.SerializeToString()
    cut = raw[: data.draw(st.integers(0, len(raw)))]
    agree(type(message), cut)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read_as_protobuf_does(raw: bytes) -> None:
    agree(WriteUpload, raw)


def agree(kind: Any, raw: bytes) -> None:
    """Checks that we read what protobuf reads. We may refuse more: groups, and overlong varints."""
    try:
        piece = wire.deserializer(kind)(raw)
    except DecodeError:
        return
    whole = kind.FromString(raw)
    holder = whole.body if kind is AppendUpload else whole
    assert piece.data == holder.data
    if kind is AppendUpload and not whole.HasField("body"):
        return
    holder.ClearField("data")
    assert piece.message.SerializeToString(deterministic=True) == whole.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000, 1 << 20, 2 << 20])
def test_content_retains_at_most_twice_its_size_in_memory(size: int) -> None:
    body = httpbody_pb2.HttpBody(content_type="j" * (1 << 20), data=bytes(size))
    for message in (AppendUpload(body=body), AppendUpload(body=body, upload_id="j" * size)):
        data = read(message).data
        assert data == body.data
        kept = data.obj if isinstance(data, memoryview) else data
        assert len(memoryview(kept)) <= 2 * size


def test_content_that_is_most_of_a_message_is_not_copied() -> None:
    raw = WriteUpload(data=bytes(1 << 20), offset=5).SerializeToString()
    data = wire.deserializer(WriteUpload)(raw).data
    assert isinstance(data, memoryview)
    assert data.obj is raw


def test_a_million_fields_are_refused() -> None:
    with pytest.raises(DecodeError):
        wire.deserializer(WriteUpload)(b"\x30\x01" * 1_000_000)


def test_an_unterminated_varint_is_refused() -> None:
    with pytest.raises(DecodeError):
        wire.deserializer(WriteUpload)(b"\x18" + b"\xff" * (3 << 20))


def test_a_streamed_message_has_one_content_field() -> None:
    with pytest.raises(ValueError, match="one field for its content"):
        wire.content_path(upload_pb2.Upload.DESCRIPTOR)
