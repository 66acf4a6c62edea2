"""Envoy bounds what requests may hold, and reports its limits as JSON."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from media_service.ids import new_id
from tests.support.envoy import Envoy, answered, running_envoy
from tests.support.http2 import Http2
from tests.support.media.small_files import video_bytes
from tests.support.rest import refusal
from tests.support.service import Service
from tests.support.tools import eventually

MIB = 1 << 20
READERS = 8


def pieces(count: int) -> Iterator[bytes]:
    yield b'{"filename": "'
    for _ in range(count):
        yield b"a" * 65536
    yield b'"}'


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/uploads"), ("PATCH", "/v1/media/{id}"), ("GET", "/v1/media")]
)
def test_a_json_body_above_1_mib_is_413(
    alice: httpx.Client, method: str, path: str, chunked: bool
) -> None:
    body = pieces(17) if chunked else b"".join(pieces(17))
    answer = alice.request(method, path.format(id=new_id()), content=body)
    assert refusal(answer) == (413, "INVALID_REQUEST")
    assert "1 MiB" in answer.json()["message"]


def test_a_json_body_of_1_mib_reaches_the_service(alice: httpx.Client) -> None:
    body = json.dumps({"filename": "a.jpg"}).encode()
    answer = alice.post("/v1/uploads", content=body.ljust(MIB))
    assert answer.status_code == 201


def test_envoy_closes_a_connection_that_only_resets_its_requests(service: Service) -> None:
    address = service.base_url.removeprefix("http://")
    with Http2(address) as connection:

        def flood() -> None:
            for _ in range(100_000):
                connection.reset(connection.request("GET", "/v1/media", {}, end=True))

        with pytest.raises(ConnectionError):
            flood()


def stalled(envoy: Envoy, path: str, headers: dict[str, str]) -> socket.socket:
    """Begins a download, and reads no more than the status."""
    address = urlsplit(envoy.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect((address.hostname, address.port))
    lines = [f"GET {path} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def test_a_reader_that_takes_nothing_is_sent_little(
    alice: httpx.Client, service: Service, tmp_path: Path
) -> None:
    content = video_bytes(8 * MIB)
    answer = alice.post("/v1/media:upload", params={"filename": "a.mp4"}, content=content)
    path = f"/v1/media/{answer.json()['mediaId']}/content"
    port = int(service.grpc_address.rpartition(":")[2])
    with running_envoy(tmp_path, port) as envoy, ExitStack() as connections:
        eventually(lambda: (found := answered(f"{envoy.url}/healthz")) and found.is_success)
        for _ in range(READERS):
            connections.enter_context(closing(stalled(envoy, path, service.bearer("alice"))))

        def settled() -> int:
            """The bytes from the server, once there are no more."""
            before = envoy.stat("cluster.media.upstream_cx_rx_bytes_total")
            time.sleep(0.5)
            after = envoy.stat("cluster.media.upstream_cx_rx_bytes_total")
            return after if after == before else 0

        sent = eventually(settled)
    assert sent < READERS * MIB
