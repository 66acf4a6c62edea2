"""What pages of other origins may do, beyond what test_envoy.py tests."""

import httpx
import pytest

from media_service.ids import new_id
from tests.support.media.small_files import jpeg
from tests.support.rest import create, patch, store

ORIGIN = "https://app.example"
# Readable for every page (https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name).
READABLE = {
    *("cache-control", "content-language", "content-length", "content-type", "expires"),
    *("last-modified", "pragma"),
}
# About the connection, or CORS itself.
NOT_OF_THE_SERVICE = {"connection", "transfer-encoding", "server"}


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
