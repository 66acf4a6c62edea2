"""Requests that Envoy refuses: the words are the service's, and say what to do."""

import json
from typing import Any

import httpx
import pytest

from media_service.ids import new_id
from tests.support.media.small_files import jpeg
from tests.support.rest import refusal, settled, store

SIZE = "must be a whole number from 0 to 9223372036854775807"
PAGE = "must be a whole number from 0 to 2147483647"
NOT_JSON, NOT_UTF8 = "The body is not valid JSON.", "The body is not UTF-8."
OBJECT, TEXT = "The body must be a JSON object.", "must be a string, not "
DEEP = b'{"error": {"details": ' + b"[" * 99 + b"]" * 99 + b"}}"
CLARENDON = 'write the operation as `{"filter": {"name": "CLARENDON"}}`'
OPERATION = 'write the operation as `{"resize": {...}}`'
WHOLE_BODY = "the body is its value: send the fields of `media` without it"
UPLOADS, BATCH = "/v1/uploads", "/v1/uploads:batchCreate"
PROCESSES = "/v1/media:batchProcess"
PROCESS, MEDIA, SIGN = "/v1/media/ID:process", "/v1/media/ID", "/v1/media/ID:signUrl"

# JSON: (method, path, body, field, what the error says)
BODIES = [
    ("POST", UPLOADS, b'{"filename": ', "", NOT_JSON),
    ("POST", UPLOADS, b'{"filename": "a"} x', "", NOT_JSON),
    ("POST", UPLOADS, b'{"filename": "a", }', "", NOT_JSON),
    ("POST", UPLOADS, b'{"checksums": {"sha256": }}', "", NOT_JSON),
    ("POST", UPLOADS, b"\xff\xfe", "", NOT_UTF8),
    ("POST", UPLOADS, b'{"filename": "\xff"}', "", NOT_UTF8),
    ("POST", UPLOADS, b'{"filename": "\\ud800"}', "", "half a character"),
    ("POST", UPLOADS, b'{"sizeBytes": 1e400}', "", "a number that is too large"),
    ("PATCH", MEDIA, DEEP, "", "nested too deeply"),
    ("POST", UPLOADS, b"[" * 10_000, "", OBJECT),
    ("POST", UPLOADS, b"[]", "", OBJECT),
    ("POST", UPLOADS, b"null", "", OBJECT),
    ("POST", UPLOADS, b'"text"', "", OBJECT),
    ("POST", UPLOADS, b"filename=a.jpg", "", OBJECT),
    ("POST", UPLOADS, b'{"filename": [1]}', "filename", TEXT + "a list"),
    ("POST", UPLOADS, b'{"checksums": "a"}', "checksums", "must be a JSON object"),
    ("POST", UPLOADS, b'{"filename": {}}', "filename", TEXT + "an object"),
    ("POST", UPLOADS, b'{"filename": 1}', "filename", "must be a string"),
    ("POST", UPLOADS, b'{"sizeBytes": "many"}', "sizeBytes", SIZE),
    ("POST", UPLOADS, b'{"sizeBytes": 1.5}', "sizeBytes", SIZE),
    ("POST", UPLOADS, b'{"checksums": {"sha256": "%%"}}', "checksums.sha256", "be base64"),
    ("POST", UPLOADS, b'{"labels": {"a": {}}}', "labels.a", TEXT + "an object"),
    ("POST", UPLOADS, b'{"labels": {"a": 1}}', "labels", "each value must be a string"),
    ("POST", PROCESS, b'{"priority": "SOON"}', "priority", "must be one of LOW, NORMAL, HIGH"),
    ("POST", PROCESS + "?ops=flip", b'{"ops": "blur"}', "ops", "another value in the query"),
    ("POST", PROCESS, b'{"priority": 1.5}', "priority", "must be one of LOW, NORMAL, HIGH"),
    ("POST", PROCESS, b'{"operations": [{"blur": {}, "flip": {}}]}', "operations[0]", "only one"),
    ("POST", BATCH, b'{"requests": [[{}]]}', "requests[0]", "must be a JSON object, not a list"),
    ("PATCH", MEDIA, b'{"tags": [1, {}]}', "tags[1]", TEXT + "an object"),
    ("PATCH", MEDIA, b'{"captureTime": "now"}', "captureTime", 'such as "2026-'),
]
# Keys that no field has, which the transcoder would drop: (method, path, body, field, the advice)
KEYS = [
    ("PATCH", MEDIA, '{"visibilty": 1}', "visibilty", "`visibilty`; did you mean `visibility`?"),
    ("PATCH", MEDIA, '{"title": "", "a": {}}', "a", "the fields are `filename`, `title`, "),
    ("PATCH", MEDIA, '{"update_mask": "title"}', "update_mask", "send it in the query"),
    ("PATCH", MEDIA, '{"media": {"title": ""}}', "media", WHOLE_BODY),
    ("PATCH", MEDIA, '{"captureTime": {"second": 1}}', "captureTime.second", "`seconds`?"),
    ("PATCH", MEDIA, r'{"visib\u0069lty": 1}', "visibilty", "did you mean `visibility`?"),
    ("PATCH", MEDIA, r'{"\u0000\ud800\"": 1}', '????"', "unknown field"),
    ("POST", UPLOADS, '{"sha256": "AAAA"}', "sha256", "did you mean `checksums.sha256`?"),
    ("POST", UPLOADS, '{"checksums": {"sha265": ""}}', "checksums.sha265", "`sha256`?"),
    ("POST", UPLOADS, '{"labels": {"a": "b"}, "é😀": 1}', "é😀", "unknown field `é😀`"),
    ("POST", UPLOADS, f'{{"{"x" * 1000}": 1}}', "x" * 80 + "...", "unknown field"),
    (
        "POST",
        BATCH,
        '{"requests": [{}, {"spec": {"file": 1}}]}',
        "requests[1].spec.file",
        "`filename`",
    ),
    ("POST", SIGN, '{"expires": "1h"}', "expires", "the fields are `rendition`, `ttl`, "),
    ("POST", PROCESS, '{"operations": [{"type": "resize"}]}', "operations[0].type", OPERATION),
    ("POST", PROCESS, '{"operations": [{"x": 1, "op": "resize"}]}', "operations[0].x", OPERATION),
    ("POST", PROCESS, '{"operations": [{"claredon": {}}]}', "operations[0].claredon", CLARENDON),
    ("POST", PROCESS, '{"operations": [{"op": "juno"}]}', "operations[0].op", '"JUNO"'),
    ("POST", PROCESS, '{"operations": [{"sigma": 9}]}', "operations[0].sigma", "`blur.sigma` or"),
    ("POST", PROCESS, '{"operations": [{"resise": {}}]}', "operations[0].resise", "`resize`?"),
    ("POST", PROCESSES, '{"requests": [{"media": 1}]}', "requests[0].media", "`mediaId`?"),
    ("POST", "/v1/watchTickets", '{"jobid": "a"}', "jobid", "did you mean `jobId`?"),
    ("POST", PROCESS, '{"operations": [{"mute": {"x": 1}}]}', "operations[0].mute.x", "no fields"),
    ("DELETE", MEDIA, '{"etagg": "a"}', "etagg", "did you mean `etag`?"),
    ("GET", "/v1/media", '{"pageSise": 1}', "pageSise", "did you mean `pageSize`?"),
    ("POST", "/v1/media/ID:purge", '{"force": true}', "force", "there are no fields"),
]
# Keys that are given twice: (method, path, body, field)
TWICE = [
    ("PATCH", MEDIA, '{"title": "a", "title": "b"}', "title"),
    ("PATCH", MEDIA, '{"capture_time": null, "captureTime": null}', "captureTime"),
    ("PATCH", MEDIA, r'{"labels": {"a": "1", "\u0061": "2"}}', "labels.a"),
    ("POST", BATCH, '{"requests": [{}, {"spec": {}, "spec": {}}]}', "requests[1].spec"),
]
# Another media than the path has: (method, path, body, field)
OTHER = [
    ("PATCH", MEDIA, '{"mediaId": "a"}', "mediaId"),
    ("PATCH", MEDIA, '{"media_id": "0190163d-8694-739b-aea5-966c26f8ad91"}', "mediaId"),
    ("POST", PROCESS, '{"media_id": "a", "ops": "blur"}', "mediaId"),
]
# Queries and paths: (path, field, what the error says)
URLS = [
    ("/v1/media?pageSize=many", "pageSize", PAGE),
    ("/v1/media?pageSize=99999999999999999999", "pageSize", PAGE),
    ("/v1/media?page_size=", "pageSize", PAGE),
    ("/v1/media?pageSize=%22%20for%20type%20TYPE_BOOL%0a", "pageSize", PAGE),
    ("/v1/media?showDeleted=maybe", "showDeleted", "must be true or false"),
    ("/v1/media?owner.typ=user", "typ", "unknown parameter `typ`; did you mean `type`?"),
    ("/v1/media/ID/image?format=SOON", "format", "must be one of JPEG, PNG, WEBP, AVIF, GIF, TIFF"),
    ("/v1/media/ID/image?width=wide", "width", "must be a whole number from 0 to 16384"),
    ("/v1/media/ID/image?dpr=high", "dpr", "must be a number from 0 to 8"),
    ("/v1/media?order=a", "order", "unknown parameter `order`; did you mean `orderBy`?"),
    ("/v1/media/ID?readMask=a", "readMask", "the parameters are `view`, `signReadUrls`"),
    ("/v1/media?%22%3C=a", "%22%3C", "unknown parameter `%22%3C`"),
    ("/v1/media?filter.x=a", "filter", "has no fields"),
]
ALL = [
    *BODIES,
    *((method, path, body.encode(), field, says) for method, path, body, field, says in KEYS),
    *(
        (method, path, body.encode(), field, "is given twice")
        for method, path, body, field in TWICE
    ),
    *((verb, path, body.encode(), field, "differs from") for verb, path, body, field in OTHER),
    *(("GET", path, b"", field, says) for path, field, says in URLS),
]
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


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/v1/media", "/v1/media/ID/content", "/v1/jobs/ID:watch", "/v2"])
def test_a_body_of_get_is_refused_unless_it_is_checked(
    alice: httpx.Client, method: str, path: str
) -> None:
    """The transcoder would read it, and ignore unknown keys."""
    path = path.replace("ID", new_id())
    for body in (b'{"pageSise": 1}', iter([b'{"pageSise":', b" 1}"])):
        answer = alice.request(method, path, content=body)
        assert answer.status_code == 400
        assert method == "HEAD" or "have no body" in answer.json()["message"]
    answer = alice.request(method, path, json={"pageSise": 1})
    assert answer.status_code == 400
    answer = alice.request(method, path, headers={"content-type": "text/plain"})
    assert answer.status_code == (200 if path == "/v1/media" else 404)


def test_a_refused_head_request_has_no_body(alice: httpx.Client) -> None:
    answer = alice.head("/v1/media?pageSize=many")
    assert (answer.status_code, answer.content) == (400, b"")


# Bodies whose values cost the most: (method, path, begin, value, how many it counts as, end)
COSTLY = [
    ("POST", BATCH, '{"requests": [', "{}", 2, "]}"),
    ("PATCH", MEDIA, '{"error": {"details": [', "[]", 2, "]}}"),
    ("PATCH", MEDIA, '{"error": {"details": [', '{"":' * 90 + "1" + "}" * 90, 181, "]}}"),
    ("PATCH", MEDIA, '{"tags": [', "1", 1, "]}"),
    ("PATCH", MEDIA, '{"error": {"details": [{', '"":1', 1, "}]}}"),
]


@pytest.mark.parametrize(("method", "path", "begin", "value", "each", "end"), COSTLY, ids=range(5))
def test_a_body_with_very_many_values_is_refused_at_the_limit(
    http: httpx.Client, method: str, path: str, begin: str, value: str, each: int, end: str
) -> None:
    def answer(count: int, end: str) -> httpx.Response:
        content = begin + ",".join([value] * count) + end
        headers = {"content-type": "application/json"}
        return http.request(method, path.replace("ID", new_id()), content=content, headers=headers)

    many = answer(180_000 // each + 1, "? what comes later is not read")
    assert refusal(many) == (400, "INVALID_REQUEST")
    assert "more than 180000 values" in many.json()["message"]
    assert "180000" not in answer(179_990 // each, end).text


def test_the_largest_batch_that_the_contract_allows_is_not_refused_for_its_values(
    http: httpx.Client,
) -> None:
    """With as many tags and labels as fit in 1 MiB."""
    tags, labels = ([f"{number:x}" for number in range(count)] for count in (100, 64))
    spec = {"filename": "a.jpg", "tags": tags, "labels": dict.fromkeys(labels, "")}
    body = json.dumps({"requests": [{"spec": spec}] * 1000}, separators=(",", ":"))
    assert 1_000_000 < len(body) < 1 << 20
    answer = http.post(BATCH, content=body, headers={"content-type": "application/json"})
    assert refusal(answer) == (401, "TOKEN_MISSING")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_json_body_of_another_type_is_refused(alice: httpx.Client, content_type: str) -> None:
    headers = {"content-type": content_type}
    answer = alice.post(UPLOADS, content=b"{}", headers=headers)
    assert refusal(answer) == (415, "INVALID_REQUEST")
    assert "application/json" in answer.json()["message"]
    assert alice.post(UPLOADS, headers=headers).status_code == 201  # without a body


@pytest.mark.parametrize("content_type", ["", "Application/JSON; charset=utf-8", "text/json"])
def test_types_of_json_are_taken(alice: httpx.Client, content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert alice.post(UPLOADS, content=b"{}", headers=headers).status_code == 201


def test_every_spelling_of_a_field_and_any_key_of_a_map_are_taken(alice: httpx.Client) -> None:
    body = r"""
    {
      "sizeBytes": 1, "max_size_bytes": "2", "vis\u0069bility": "PRIVATE", "title": "\\\"}",
      "labels": {"title": "a", "any/key": "b"}, "tags": [], "checksums": null,
      "captureTime": {"seconds": 7}, "expireTime": "2100-01-01T00:00:00Z"
    }
    """
    answer = alice.post(UPLOADS, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 201, answer.text
    spec = answer.json()["spec"]
    assert (spec["maxSizeBytes"], spec["visibility"], spec["title"]) == ("2", "PRIVATE", '\\"}')
    assert spec["labels"] == {"title": "a", "any/key": "b"}
    assert spec["captureTime"] == "1970-01-01T00:00:07Z"


def test_a_media_can_be_sent_back_as_it_was_received(alice: httpx.Client) -> None:
    media = settled(alice, store(alice, jpeg(64, 65))["mediaId"], view="FULL")
    answer = alice.patch(f"/v1/media/{media['mediaId']}", json={**media, "title": "Beach"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["title"] == "Beach"


def test_errors_in_a_media_may_have_any_details(alice: httpx.Client) -> None:
    media = settled(alice, store(alice, jpeg(64, 64)[:400])["mediaId"])
    assert media["error"]["details"]
    answer = alice.patch(f"/v1/media/{media['mediaId']}", json={**media, "title": "Beach"})
    assert answer.status_code == 200, answer.text
