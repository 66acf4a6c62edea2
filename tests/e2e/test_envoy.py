"""The REST interface itself: the form and the status of Envoy's responses."""

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from media_service.ids import new_id
from tests.support.envoy import answered, running_envoy
from tests.support.ports import free_port
from tests.support.service import Service
from tests.support.tools import NO_TLS, eventually

ORIGIN = "https://app.example"
LIST = "/mediaservice.v1.MediaService/ListMedia"


def reason(answer: httpx.Response) -> str:
    """The reason of an error, which must be google.rpc.Status in JSON."""
    assert answer.headers["content-type"] == "application/json"
    status = answer.json()
    assert set(status) == {"code", "message", "details"}
    assert status["message"]
    (info,) = [d for d in status["details"] if d["@type"].endswith("google.rpc.ErrorInfo")]
    assert info["domain"] == "mediaservice"
    return str(info["reason"])


def test_an_unknown_path_is_404(http: httpx.Client) -> None:
    answer = http.get("/v2/nothing")
    assert (answer.status_code, reason(answer)) == (404, "ROUTE_NOT_FOUND")


def test_an_unknown_query_parameter_is_400_and_named(http: httpx.Client) -> None:
    answer = http.get("/v1/media", params={"colour": "red"})
    assert (answer.status_code, reason(answer)) == (400, "INVALID_REQUEST")
    assert "colour" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/media/{id}", "DELETE, GET, HEAD, PATCH"),
        ("PUT", "/v1/media/{id}/content", "GET, HEAD"),
        ("GET", "/v1/media:upload", "POST"),
        ("OPTIONS", "/v1/uploads", "GET, HEAD, POST"),
    ],
)
def test_an_unsupported_method_is_405_with_allow(
    http: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = http.request(method, path.format(id=new_id()))
    assert (answer.status_code, reason(answer)) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed


def test_a_body_that_is_not_json_is_400(alice: httpx.Client) -> None:
    answer = alice.post("/v1/uploads", content=b'{"filename": ')
    assert (answer.status_code, reason(answer)) == (400, "INVALID_REQUEST")


def test_headers_above_the_limit_are_431(http: httpx.Client) -> None:
    answer = http.get("/v1/media", headers={"x-long": "a" * 40_000})
    assert (answer.status_code, reason(answer)) == (431, "INVALID_REQUEST")


@pytest.mark.parametrize("slash", ["%2F", "%2f", "%5C", "%5c"])
def test_an_escaped_slash_in_a_path_is_400(http: httpx.Client, slash: str) -> None:
    for method, path in (
        ("GET", f"/v1/media/a{slash}b"),
        ("POST", f"/v1/media/a{slash}b?x=1"),
        ("GET", f"/v1/public/a{slash}b"),
        ("PUT", f"/v1/signed/a{slash}b"),
        ("GET", f"/v2{slash}"),
    ):
        answer = http.request(method, path)
        assert (answer.status_code, reason(answer)) == (400, "INVALID_REQUEST")
        assert "%2F" in answer.json()["message"]
    assert http.get(f"/v1/media?filter=a{slash}b").status_code == 401
    grpc = http.post(f"/v1/media/a{slash}b", headers={"content-type": "application/grpc"})
    assert grpc.headers["grpc-status"] != "0"


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("PUT", "/v1/media:upload", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v2/nothing", 404, "ROUTE_NOT_FOUND"),
    ],
)
def test_a_large_body_is_refused_for_its_method_or_path(
    http: httpx.Client, method: str, path: str, status: int, expected: str
) -> None:
    answer = http.request(method, path, content=bytes(3 << 20))
    assert (answer.status_code, reason(answer)) == (status, expected)


def test_a_request_without_a_token_is_401(http: httpx.Client) -> None:
    answer = http.get("/v1/media")
    assert (answer.status_code, reason(answer)) == (401, "TOKEN_MISSING")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_an_upload_without_a_token_is_401_before_the_body_is_sent(service: Service) -> None:
    address = urlsplit(service.base_url)
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        connection.sendall(
            b"POST /v1/media:upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nGIF8"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_refused_watch_is_a_json_error(alice: httpx.Client) -> None:
    answer = alice.get(f"/v1/uploads/{new_id()}:watch")
    assert (answer.status_code, reason(answer)) == (404, "UPLOAD_NOT_FOUND")


def test_a_watch_sends_events_starting_with_the_current_state(alice: httpx.Client) -> None:
    upload = alice.post("/v1/uploads", json={"filename": "a.jpg"}).json()["uploadId"]
    with alice.stream("GET", f"/v1/uploads/{upload}:watch") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"
        lines = answer.iter_lines()
        assert next(lines).startswith("id: ")
        assert next(lines) == "event: upload"
        data = json.loads(next(lines).removeprefix("data: "))
        assert data == alice.get(f"/v1/uploads/{upload}").json()


def test_a_created_upload_is_201_with_an_absolute_location(
    alice: httpx.Client, service: Service
) -> None:
    answer = alice.post("/v1/uploads", json={"filename": "a.jpg"})
    assert answer.status_code == 201
    port = service.environ["MEDIA_REST_PORT"]
    upload = answer.json()["uploadId"]
    assert answer.headers["location"] == f"http://localhost:{port}/v1/uploads/{upload}"


def test_head_has_the_headers_of_get_and_no_body(alice: httpx.Client) -> None:
    upload = alice.post("/v1/uploads", json={"filename": "a.jpg"}).json()["uploadId"]
    answer = alice.head(f"/v1/uploads/{upload}/content")
    assert answer.status_code == 200
    assert answer.headers["upload-offset"] == "0"
    assert answer.content == b""


def raw_head(service: Service, path: str) -> bytes:
    """The whole response to a HEAD request, up to the end of the connection."""
    address = urlsplit(service.base_url)
    token = service.token("alice")
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        connection.sendall(
            f"HEAD {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_every_response_to_head_has_no_body(alice: httpx.Client, service: Service) -> None:
    upload = alice.post("/v1/uploads", json={"filename": "a.jpg"}).json()["uploadId"]
    for path, status in {
        f"/v1/uploads/{upload}/content": 200,
        f"/v1/uploads/{new_id()}/content": 404,
        f"/v1/media/{new_id()}/content": 404,
        "/v1/media/no-id/content": 400,
        "/v2/nothing": 404,
    }.items():
        answer = raw_head(service, path)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert answer.endswith(b"\r\n\r\n")


def test_enum_names_are_case_insensitive(alice: httpx.Client) -> None:
    assert alice.get("/v1/uploads", params={"state": "active"}).status_code == 200
    answer = alice.get("/v1/uploads", params={"state": "sleepy"})
    assert (answer.status_code, reason(answer)) == (400, "INVALID_REQUEST")


def test_a_client_cannot_forge_the_headers_that_envoy_sets(alice: httpx.Client) -> None:
    forged = {
        "x-http-status": "500",
        "x-content-length": "7",
        "x-envoy-original-method": "HEAD",
        "grpc-timeout": "1n",
        "grpc-encoding": "gzip",
        "anything-bin": "%%%",
        "cookie": "c" * 20_000,
    }
    answer = alice.get("/v1/media", headers=forged)
    assert answer.status_code == 200
    assert "media" in answer.json()


def test_responses_reveal_no_internal_headers(alice: httpx.Client) -> None:
    for path in ("/v1/media", f"/v1/media/{new_id()}", "/v2/nothing", "/healthz"):
        names = set(alice.get(path).headers)
        hidden = ("grpc-", "x-envoy-", "x-http-", "x-content-length", "server")
        assert not [name for name in names if name.startswith(hidden)]
        assert "x-request-id" in names


def test_a_preflight_of_an_allowed_origin_is_granted(http: httpx.Client) -> None:
    answer = http.options(
        f"/v1/uploads/{new_id()}/content",
        headers={
            "origin": ORIGIN,
            "access-control-request-method": "PATCH",
            "access-control-request-headers": "authorization,upload-offset",
        },
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert {"authorization", "upload-offset", "range", "if-match", "repr-digest"} <= set(
        answer.headers["access-control-allow-headers"].split(",")
    )


def test_a_preflight_of_another_origin_is_not_granted(http: httpx.Client) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "GET"}
    answer = http.options("/v1/media", headers=headers)
    assert "access-control-allow-origin" not in answer.headers


def test_an_allowed_origin_sees_errors_and_the_headers_it_needs(http: httpx.Client) -> None:
    answer = http.get("/v1/media", headers={"origin": ORIGIN})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert {"etag", "content-range", "upload-offset", "location"} <= set(
        answer.headers["access-control-expose-headers"].split(",")
    )
    assert "Origin" in answer.headers["vary"]


def test_health_needs_no_token(http: httpx.Client) -> None:
    answer = http.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"")
    for path in ("/healthz/live", "/healthz/ready"):
        answer = http.get(path)
        assert (answer.status_code, answer.json()) == (
            200,
            {"state": "SERVING", "reasons": [], "degraded": []},
        )


def test_neither_tokens_nor_queries_are_logged(alice: httpx.Client, service: Service) -> None:
    alice.get("/v1/media", params={"pageToken": "very-secret"})
    log = (service.data_dir / "envoy.log").read_text()
    assert "very-secret" not in log
    assert "Bearer" not in log


def test_an_unreachable_service_is_503_with_retry_after(tmp_path: Path) -> None:
    with running_envoy(tmp_path, free_port()) as envoy:
        url = f"{envoy.url}/v1/media"
        answer = eventually(lambda: answered(url))
        head = httpx.head(url, verify=NO_TLS)
        web = {"content-type": "application/grpc-web+proto"}
        call = httpx.post(f"{envoy.url}{LIST}", headers=web, content=bytes(5), verify=NO_TLS)
        garbled = dict.fromkeys(("content-type", "accept"), "application/grpc-web-text")
        refused = httpx.post(f"{envoy.url}{LIST}", headers=garbled, content=b"%%%%", verify=NO_TLS)
    assert (answer.status_code, reason(answer)) == (503, "UPSTREAM_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["details"][1]["retryDelay"] == "1s"
    assert (head.status_code, head.content) == (503, b"")
    assert (call.headers["grpc-status"], call.content) == ("14", b"")
    assert call.headers["grpc-message"] == "The service is unavailable. Try again."
    assert "base64" in refused.headers["grpc-message"]
    assert "x-http-refused" not in refused.headers
