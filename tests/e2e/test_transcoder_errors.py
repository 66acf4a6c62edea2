"""Requests that Envoy's transcoder refuses: the words are the service's, and say what to do."""

import json
from typing import Any

import httpx
import pytest

from media_service.ids import new_id

WHOLE = "must be a whole number from -2147483648 to 2147483647"
LONG = "must be a whole number from -9223372036854775808 to 9223372036854775807"
NOT_JSON, NOT_UTF8, LIST = "The body is not valid JSON.", "The body is not UTF-8.", "has a list"
UPLOADS, PROCESS, MEDIA = "/v1/uploads", "/v1/media/ID:process", "/v1/media/ID"

# JSON: (method, path, body, field, what the error says)
BODIES = [
    ("POST", UPLOADS, b'{"filename": ', "", NOT_JSON),
    ("POST", UPLOADS, b'{"filename": "a"} x', "", NOT_JSON),
    ("POST", UPLOADS, b'{"a": {"b": }}', "", NOT_JSON),
    ("POST", UPLOADS, b"\xff\xfe", "", NOT_UTF8),
    ("POST", UPLOADS, b'{"filename": "\xff"}', "", NOT_UTF8),
    ("POST", UPLOADS, b'{"filename": "\\ud800"}', "", "half a character"),
    ("POST", UPLOADS, b'{"sizeBytes": 1e400}', "", "a number that is too large"),
    ("POST", UPLOADS, b"[" * 10_000, "", "nested too deeply"),
    ("POST", UPLOADS, b"[]", "", LIST),
    ("POST", UPLOADS, b'{"filename": [1]}', "", LIST),
    ("POST", UPLOADS, b'"text"', "spec", "must be a JSON object"),
    ("POST", UPLOADS, b'{"checksums": "a"}', "spec.checksums", "must be a JSON object"),
    ("POST", UPLOADS, b'{"filename": {}}', "filename", "must not be an object"),
    ("POST", UPLOADS, b'{"filename": 1}', "spec.filename", "must be a string"),
    ("POST", UPLOADS, b'{"sizeBytes": "many"}', "spec.size_bytes", LONG),
    ("POST", UPLOADS, b'{"sizeBytes": 1.5}', "spec.size_bytes", LONG),
    ("POST", UPLOADS, b'{"checksums": {"sha256": "%%"}}', "spec.checksums.sha256", "be base64"),
    ("POST", PROCESS, b'{"priority": "SOON"}', "priority", "must be one of LOW, NORMAL, HIGH"),
    ("POST", PROCESS, b'{"priority": 1.5}', "priority", "must be one of LOW, NORMAL, HIGH"),
    ("PATCH", MEDIA, b'{"tags": [1, {}]}', "tags", "must not be an object"),
    ("PATCH", MEDIA, b'{"captureTime": "now"}', "media.capture_time", 'such as "2026-'),
]
# Queries and paths: (path, field, what the error says)
URLS = [
    ("/v1/media?pageSize=many", "page_size", WHOLE),
    ("/v1/media?pageSize=99999999999999999999", "page_size", WHOLE),
    ("/v1/media?pageSize=", "page_size", WHOLE),
    ("/v1/media?pageSize=%22%20for%20type%20TYPE_BOOL%0a", "page_size", WHOLE),
    ("/v1/media?showDeleted=maybe", "show_deleted", "must be true or false"),
    ("/v1/media/ID/image?format=SOON", "format", "must be one of JPEG, PNG, WEBP"),
    ("/v1/media?readMask=a", "readMask", "is not a parameter of this method"),
    ("/v1/media?%22%3C=a", "", "a parameter that this method does not have"),
    ("/v1/media?filter.x=a", "filter", "has no fields"),
]
ALL = [*BODIES, *(("GET", path, b"", field, says) for path, field, says in URLS)]
# What a caller never sees.
INTERNALS = ("TYPE_", "type.googleapis", "mediaservice.v1", "Proto", "invalid value", "^", "\n")


@pytest.mark.parametrize(("method", "path", "body", "field", "says"), ALL, ids=range(len(ALL)))
def test_a_refused_request_says_what_is_wrong(
    alice: httpx.Client, method: str, path: str, body: bytes, field: str, says: str
) -> None:
    answer = alice.request(
        method,
        path.replace("ID", new_id()),
        content=body or None,
        headers={"content-type": "application/json"},
    )
    error: dict[str, Any] = json.loads(answer.content)
    assert (answer.status_code, error["code"]) == (400, 3)
    assert answer.headers["content-type"] == "application/json"
    assert not any(name.startswith("x-http") for name in answer.headers)
    info, *more = error["details"]
    assert (info["reason"], info["domain"]) == ("INVALID_REQUEST", "mediaservice")
    violations = [found for detail in more for found in detail["fieldViolations"]]
    assert [violation["field"] for violation in violations] == ([field] if field else [])
    assert says in error["message"]
    assert not [word for word in INTERNALS if word in error["message"]]


def test_a_refused_head_request_has_no_body(alice: httpx.Client) -> None:
    answer = alice.head("/v1/media?pageSize=many")
    assert (answer.status_code, answer.content) == (400, b"")
