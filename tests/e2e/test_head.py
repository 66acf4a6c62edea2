"""HEAD never has a body, and Envoy's filters agree on which requests are gRPC.

A body after HEAD is what a proxy takes for the next response on the connection, so these tests read
the raw bytes.
"""

import socket
from contextlib import suppress
from urllib.parse import urlsplit

import grpc
import pytest
from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from media_service.ids import new_id
from tests.support.rest import NO_MEDIA, client_of, create
from tests.support.service import Service

GRPC = ["application/grpc", "application/grpc+proto", " application/grpc+ "]
NOT_GRPC = [
    "",
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpcfoo",
    "application/grpc;charset=utf-8",
    "application/grpc; +",
    "application/grpc +proto",
    "application/grpc,text/plain",
    "application/grpc/+",
    "application/grpc%2Bproto",
    "application/grpc\x80+",
    "Application/gRPC",
    "APPLICATION/GRPC+PROTO",
    "application/GRPC",
    "text/application/grpc",
    "application/json",
    "+",
]


def sent(service: Service, request: str) -> tuple[bytes, bytes]:
    """Sends a raw HEAD request and a GET on the same connection. Returns the head of the first
    response and what follows: the second response, or nothing if Envoy closed the connection."""
    address = urlsplit(service.base_url)
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        connection.sendall(f"{request}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))
        received = b""
        # Envoy resets a connection whose request it refuses without having read all of it.
        with suppress(ConnectionResetError):
            while received.count(b"\r\n\r\n") < 2 and (more := connection.recv(65536)):
                received += more
    first, _, second = received.partition(b"\r\n\r\n")
    return first, second


def head(path: str, content_type: str = "", **headers: str) -> str:
    lines = [f"HEAD {path} HTTP/1.1", "Host: x"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""])


@pytest.mark.parametrize("content_type", [*GRPC, *NOT_GRPC])
def test_head_has_no_body_whatever_its_content_type(service: Service, content_type: str) -> None:
    some = new_id()
    bearer = service.bearer("alice")
    for path, headers, status in [
        (f"/v1/media/{some}/content", {}, 401),
        (f"/v1/media/{some}/content", bearer, 404),
        (f"/v1/media/{some}", {}, 401),
        ("/v1/media", bearer, 200),
        (f"/v1/uploads/{some}/content", bearer, 404),
        (f"/v1/media/{some}:purge", {}, 405),
        ("/v1/media?colour=red", {}, 400),
        ("/v2/nothing", {}, 404),
    ]:
        first, second = sent(service, head(path, content_type, **headers))
        is_grpc = content_type in GRPC
        # gRPC has its status in another header.
        assert first.startswith(f"HTTP/1.1 {200 if is_grpc else status} ".encode()), (path, first)
        assert (b"content-type: application/grpc" in first) == is_grpc, (path, first)
        assert second.startswith(b"HTTP/1.1 200 ") or second == b"", (path, second)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/media", {"cookie": "a" * 40_000}, 431),
        ("/v1/media", {"cookie": "a" * 400_000}, 431),
        ("/v1/media", {"authorization": "Bearer " + "a" * 20_000}, 431),
        ("/v1/media/a%2Fb", {}, 400),
        ("/v1/media", {"content-length": "x"}, 400),
    ],
)
def test_head_that_envoy_refuses_has_no_body(
    service: Service, path: str, headers: dict[str, str], status: int
) -> None:
    first, second = sent(service, head(path, **headers))
    assert first.startswith(f"HTTP/1.1 {status} ".encode())
    assert second.startswith(b"HTTP/1.1 200 ") or second == b"", second


@pytest.mark.parametrize("content_type", NOT_GRPC[1:5])
def test_only_grpc_may_send_the_headers_of_grpc(service: Service, content_type: str) -> None:
    forged = {"content-type": content_type, "grpc-timeout": "1n", "grpc-encoding": "gzip"}
    with client_of(service, "head") as client:
        answer = client.get("/v1/media", headers=forged)
        assert (answer.status_code, answer.json()) == (200, NO_MEDIA)
        upload = create(client, filename="a.jpg")
        answer = client.head(f"/v1/uploads/{upload}/content", headers=forged)
        assert (answer.status_code, answer.headers["upload-offset"]) == (200, "0")


def test_grpc_passes_through_envoy(service: Service) -> None:
    address = service.base_url.removeprefix("http://")
    with grpc.insecure_channel(address) as channel:
        media = media_service_pb2_grpc.MediaServiceStub(channel)
        metadata = tuple(service.bearer("head").items())
        request = media_service_pb2.ListMediaRequest()
        assert media.ListMedia(request, metadata=metadata, timeout=30).media == []
        with pytest.raises(grpc.RpcError) as refused:
            media.ListMedia(request, timeout=30)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
