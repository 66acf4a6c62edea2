"""HTTP/1.0, which nginx speaks to upstreams by default."""

import socket
from urllib.parse import urlsplit

import pytest

from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, store
from tests.support.service import Service

PHOTO = jpeg()
HEALTHY = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def sent(service: Service, request: str, body: bytes = b"") -> tuple[bytes, bytes]:
    """Sends raw bytes; returns the head and the body of all that follows."""
    address = urlsplit(service.base_url)
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        connection.sendall(request.encode() + body)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


@pytest.fixture(scope="module")
def media(service: Service) -> str:
    with client_of(service, "alice") as alice:
        return str(store(alice, PHOTO)["mediaId"])


def lines(service: Service, method: str, path: str, *more: str) -> str:
    token = f"Authorization: Bearer {service.token('alice')}"
    return "\r\n".join([f"{method} {path} HTTP/1.0", token, *more, "", ""])


def test_requests_of_http_1_0_are_answered(service: Service, media: str) -> None:
    head, body = sent(service, lines(service, "GET", f"/v1/media/{media}/content"))
    assert head.split(b"\r\n")[0].endswith(b" 200 OK")
    assert body == PHOTO
    head, body = sent(service, lines(service, "GET", f"/v1/media/{media}", "Host: x"))
    assert head.split(b"\r\n")[0].endswith(b" 200 OK")
    assert b"transfer-encoding" not in head
    assert media.encode() in body
    path = "/v1/media:upload?filename=a.jpg"
    head, _ = sent(service, lines(service, "POST", path, f"Content-Length: {len(PHOTO)}"), PHOTO)
    assert head.split(b"\r\n")[0].endswith(b" 201 Created")


def test_http_1_0_gets_no_body_for_head(service: Service, media: str) -> None:
    for path in (f"/v1/media/{media}/content", f"/v1/media/{media}", "/v2/nothing"):
        _, body = sent(service, lines(service, "HEAD", path))
        assert body == b""


def test_a_body_with_two_lengths_is_refused(service: Service) -> None:
    """A proxy that knows only one of them would take a part of it for another request."""
    lengths = ("Content-Length: 4", "Transfer-Encoding: chunked", "Connection: keep-alive")
    request = lines(service, "POST", "/v1/uploads", *lengths)
    head, rest = sent(service, request, b"0\r\n\r\n" + HEALTHY)
    assert b" 400 " in head.split(b"\r\n")[0]
    assert b" 200 OK" not in rest
