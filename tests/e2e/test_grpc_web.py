"""gRPC-web on the port of REST: what it answers, and that only POST requests reach its filter."""

import base64
import struct

import httpx
import pytest
from mediaservice.v1 import media_service_pb2, upload_pb2, upload_service_pb2

from media_service.ids import new_id
from tests.e2e.test_head import head, sent
from tests.support.rest import create
from tests.support.service import Service

LIST = "/mediaservice.v1.MediaService/ListMedia"
BINARY = ["application/grpc-web", "application/grpc-web+proto"]
TEXT = ["application/grpc-web-text", "application/grpc-web-text+proto"]


def frame(message: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(message)) + message


def frames(data: bytes) -> tuple[list[bytes], dict[str, str]]:
    """The messages of a response, and the trailers."""
    messages, trailers = [], {}
    while data:
        flags, size = struct.unpack_from(">BI", data)
        body, data = data[5 : 5 + size], data[5 + size :]
        if flags & 0x80:
            lines = body.decode().splitlines()
            trailers = dict(line.split(":", 1) for line in lines)
        else:
            messages.append(body)
    return messages, trailers


def call(
    client: httpx.Client, method: str, request: bytes, content_type: str, **headers: str
) -> httpx.Response:
    body = frame(request)
    return client.post(
        method,
        content=base64.b64encode(body) if content_type in TEXT else body,
        headers={"content-type": content_type, "accept": content_type, **headers},
    )


@pytest.mark.parametrize("content_type", [*BINARY, *TEXT])
def test_a_unary_call_is_answered(alice: httpx.Client, content_type: str) -> None:
    upload = create(alice, filename="a.jpg")
    request = upload_service_pb2.GetUploadRequest(upload_id=upload).SerializeToString()
    # As browsers send them: headers that are no metadata of gRPC.
    noise = {"cookie": "c" * 20_000, "anything-bin": "%%%", "x-grpc-web": "1", "grpc-timeout": "9S"}
    answer = call(alice, "/mediaservice.v1.UploadService/GetUpload", request, content_type, **noise)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(content_type.removesuffix("+proto"))
    data = base64_pieces(answer.content) if content_type in TEXT else answer.content
    (message,), trailers = frames(data)
    assert upload_pb2.Upload.FromString(message).upload_id == upload
    assert trailers["grpc-status"] == "0"


def base64_pieces(text: bytes) -> bytes:
    """Each frame is encoded by itself, with its own padding."""
    data, rest = b"", text
    while rest:
        size = 4
        while size < len(rest) and b"=" not in rest[size - 4 : size]:
            size += 4
        data, rest = data + base64.b64decode(rest[:size]), rest[size:]
    return data


@pytest.mark.parametrize("content_type", [*BINARY, *TEXT])
def test_an_error_has_the_status_of_grpc(http: httpx.Client, content_type: str) -> None:
    answer = call(http, LIST, b"", content_type, origin="https://app.example")
    assert (answer.status_code, answer.headers["grpc-status"]) == (200, "16")
    assert "token" in answer.headers["grpc-message"]
    exposed = answer.headers["access-control-expose-headers"].split(",")
    assert {"grpc-status", "grpc-message", "grpc-status-details-bin"} <= set(exposed)


def test_too_large_headers_are_refused(alice: httpx.Client) -> None:
    answer = call(alice, LIST, b"", BINARY[0], cookie="c" * 40_000)
    assert answer.status_code == 431


@pytest.mark.parametrize("content_type", [*BINARY, *TEXT])
def test_only_post_to_a_method_of_grpc_is_grpc_web(service: Service, content_type: str) -> None:
    """The answer of the filter to HEAD would have a body, which a proxy takes for the next
    response."""
    bearer = service.bearer("alice")
    for path, status in [
        (LIST, 404),
        ("/mediaservice.v1.Nothing/Nothing", 404),
        ("/grpc.health.v1.Health/Check", 404),
        ("/v1/media", 200),
        (f"/v1/media/{new_id()}/content", 404),
    ]:
        first, second = sent(service, head(path, content_type, **bearer))
        assert first.startswith(f"HTTP/1.1 {status} ".encode()), (path, first)
        assert b"application/grpc" not in first
        assert second.startswith(b"HTTP/1.1 200 ") or second == b"", (path, second)


@pytest.mark.parametrize("content_type", [*BINARY, *TEXT])
def test_rest_stays_rest_whatever_its_content_type(alice: httpx.Client, content_type: str) -> None:
    answer = alice.get("/v1/media", headers={"content-type": content_type})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    forged = {"content-type": content_type, "x-http-status": "500", "grpc-encoding": "gzip"}
    assert "media" in alice.get("/v1/media", headers=forged).json()


def test_a_forged_answer_is_not_possible(alice: httpx.Client) -> None:
    request = media_service_pb2.ListMediaRequest().SerializeToString()
    forged = {"x-envoy-original-method": "HEAD", "x-http-status": "500"}
    answer = call(alice, LIST, request, BINARY[0], **forged)
    assert answer.status_code == 200
    assert frames(answer.content)[1]["grpc-status"] == "0"
