"""What pages of other origins may do, beyond what test_envoy.py tests."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from media_service.ids import new_id
from tests.support.envoy import answered, running_envoy
from tests.support.media.small_files import jpeg
from tests.support.ports import free_port
from tests.support.rest import create, patch, refusal, store
from tests.support.tools import NO_TLS, eventually

ORIGIN = "https://app.example"
# Readable for every page (https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name).
READABLE = {
    *("cache-control", "content-language", "content-length", "content-type", "expires"),
    *("last-modified", "pragma"),
}
# About the connection, or CORS itself.
NOT_OF_THE_SERVICE = {"connection", "transfer-encoding", "server"}

OVERLOADED = "overload.envoy.overload_actions.stop_accepting_requests.active"


def preflight(http: httpx.Client, path: str, origin: str) -> httpx.Response:
    return http.options(
        path,
        headers={
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,traceparent",
        },
    )


@pytest.mark.parametrize(
    "path", ["/v1/media", "/v1/media:upload", "/v2/nothing", "/mediaservice.v1.JobService/GetJob"]
)
def test_a_preflight_of_another_origin_is_answered_without_permission(
    http: httpx.Client, path: str
) -> None:
    answer = preflight(http, path, "https://evil.example")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "access-control-allow-origin" not in answer.headers


def granted(answer: httpx.Response, origin: str = ORIGIN) -> bool:
    """Whether a browser sends the request behind this preflight."""
    allowed = answer.headers.get("access-control-allow-origin")
    if not answer.is_success or allowed != origin:
        return False
    assert answer.content == b""
    methods, headers = (
        set(answer.headers[f"access-control-allow-{what}"].replace(" ", "").split(","))
        for what in ("methods", "headers")
    )
    return "POST" in methods and {"authorization", "traceparent"} <= headers


@pytest.mark.parametrize(
    "path",
    [
        "/v1/media/a%2Fb",
        "/v1/media/a%5cb",
        "/v1/media/a%00b",
        "/v1/media/..%00",
        "/v2/nothing",
        "/",
    ],
)
def test_a_preflight_of_a_path_that_is_refused_is_granted(http: httpx.Client, path: str) -> None:
    """Otherwise pages could not read why it is refused."""
    assert granted(preflight(http, path, ORIGIN))
    assert not granted(preflight(http, path, "https://evil.example"), "https://evil.example")


def test_headers_of_libraries_and_of_tracing_are_allowed(http: httpx.Client) -> None:
    answer = preflight(http, "/v1/media:upload", ORIGIN)
    allowed = set(answer.headers["access-control-allow-headers"].split(","))
    assert {
        *("authorization", "content-type", "idempotency-key", "range", "last-event-id"),
        *("traceparent", "tracestate", "x-requested-with"),
        *("cache-control",),  # Dropzone
        *("x-grpc-web", "x-user-agent", "grpc-timeout"),
        "*",
    } <= allowed


def test_all_headers_of_responses_are_exposed(alice: httpx.Client, http: httpx.Client) -> None:
    alice.headers["origin"] = http.headers["origin"] = ORIGIN
    media = store(alice, jpeg())["mediaId"]
    content = f"/v1/media/{media}/content"
    upload = create(alice, filename="a.jpg")
    answers = [
        alice.get(content),
        alice.get(content, headers={"range": "bytes=0-9"}),
        alice.get(content, headers={"range": "bytes=99999-"}),
        alice.post("/v1/uploads", json={}),
        alice.get(f"/v1/uploads/{upload}"),
        alice.head(f"/v1/uploads/{upload}/content"),
        patch(alice, upload, 0, jpeg()),
        patch(alice, upload, 7, jpeg()),
        alice.get("/v1/media"),
        alice.get(f"/v1/media/{new_id()}"),
        http.get(content),
        http.get("/v2/nothing"),
    ]
    for answer in answers:
        exposed = set(answer.headers["access-control-expose-headers"].split(","))
        sent = {name for name in answer.headers if not name.startswith("access-control-")}
        assert sent - READABLE - NOT_OF_THE_SERVICE <= exposed, answer.request.url


# Requests that Envoy refuses: (method, path, options, status)
REFUSED: list[tuple[str, str, dict[str, Any], int]] = [
    ("POST", "/v1/media/ID", {}, 405),
    ("OPTIONS", "/v1/media", {}, 405),
    ("GET", "/v1/media/a%2Fb", {}, 400),
    ("GET", "/v1/media/a%00b", {}, 400),
    ("GET", "/v1/media?pageSize=1&pageSize=2", {}, 400),
    ("POST", "/v1/uploads", {"content": b"{"}, 400),
    ("POST", "/v1/uploads", {"json": {"x": 1}}, 400),
    ("GET", "/v1/media", {"content": b"{}"}, 400),
    ("POST", "/v1/uploads", {"content": b" " * (1 << 20) + b"{}"}, 413),
    ("POST", "/v1/uploads", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
    ("GET", "/v1/media", {"headers": {"x-long": "a" * 40_000}}, 431),
    ("GET", "/v1/media", {"headers": {"connection": "upgrade", "upgrade": "websocket"}}, 403),
    ("GET", "/v2/nothing", {}, 404),
]


def readable_by(answer: httpx.Response, origin: str) -> bool:
    """Whether a page of the origin can read the status, the headers and the body."""
    assert answer.headers["vary"] == "Origin"
    assert not [name for name in answer.headers if name.startswith("x-http")]
    allowed = answer.headers.get("access-control-allow-origin")
    assert (allowed is None) == ("access-control-expose-headers" not in answer.headers)
    return bool(allowed == origin)


@pytest.mark.parametrize(("method", "path", "options", "status"), REFUSED, ids=range(len(REFUSED)))
def test_a_page_can_read_every_refusal(
    http: httpx.Client, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    for origin in (ORIGIN, "https://app.example.evil"):
        http.headers["origin"] = origin
        answer = http.request(method, path.replace("ID", new_id()), **options)
        assert refusal(answer)[0] == status
        assert readable_by(answer, ORIGIN) == (origin == ORIGIN)


@pytest.mark.parametrize(
    ("origins", "allowed", "refused"),
    [
        ("*", ["https://any.example", "null"], []),
        (
            "http://[::1]:*, https://a.example",
            ["http://[::1]", "http://[::1]:3000", "https://a.example"],
            ["http://[::1]:", "http://[::1]:x", "http://[::1].example", "https://a.example:1"],
        ),
    ],
)
def test_a_page_can_read_that_envoy_is_overloaded(
    tmp_path: Path, origins: str, allowed: list[str], refused: list[str]
) -> None:
    """Such a request is refused before it has a route. Origins are those of the CORS filter."""
    settings = {"cors_origins": origins, "envoy_memory": "1MiB"}
    with running_envoy(tmp_path, free_port(), **settings) as envoy:
        url = f"{envoy.url}/v1/media"
        eventually(lambda: answered(url) and envoy.stat(OVERLOADED) == 1)
        for origin in (*allowed, *refused):
            answer = httpx.get(url, headers={"origin": origin}, verify=NO_TLS)
            assert refusal(answer) == (503, "UPSTREAM_UNAVAILABLE")
            assert readable_by(answer, origin) == (origin in allowed)
            with httpx.Client(base_url=envoy.url) as http:
                assert granted(preflight(http, "/v1/media", origin), origin) == (origin in allowed)
