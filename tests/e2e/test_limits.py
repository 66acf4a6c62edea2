"""Envoy bounds what requests may hold, and reports its limits as JSON."""

import json
from collections.abc import Iterator

import httpx
import pytest

from media_service.ids import new_id
from tests.support.http2 import Http2
from tests.support.rest import refusal
from tests.support.service import Service

MIB = 1 << 20


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
