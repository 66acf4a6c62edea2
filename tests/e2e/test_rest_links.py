"""Links over REST (SignUrl, GetSigned), through Envoy, without a token."""

import os
from datetime import timedelta

import httpx
import pytest

from media_service.access.link_signer import LinkSigner, key_from
from media_service.clock import now
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rest import digest, refusal, store
from tests.support.rest_links import path_of, sign
from tests.support.service import Service
from tests.support.tools import eventually

MIB = 1 << 20


@pytest.fixture(scope="module")
def image() -> bytes:
    return jpeg() + os.urandom(32)


@pytest.fixture
def media_id(alice: httpx.Client, image: bytes) -> str:
    return str(store(alice, image, "holiday.jpg")["mediaId"])


@pytest.fixture
def link(alice: httpx.Client, media_id: str) -> str:
    return sign(alice, media_id)


def test_a_link_reads_without_a_token(http: httpx.Client, link: str, image: bytes) -> None:
    answer = http.get(link)
    assert (answer.status_code, answer.content) == (200, image)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-length"] == str(len(image))
    assert answer.headers["content-disposition"] == 'inline; filename="holiday.jpg"'
    assert answer.headers["cache-control"] == "private, max-age=300"
    assert digest(image) in answer.headers["repr-digest"].split(", ")


def test_a_link_starts_with_the_public_url_of_the_service(
    service: Service, alice: httpx.Client, media_id: str
) -> None:
    answer = alice.post(f"/v1/media/{media_id}:signUrl", json={"ttl": "60s"})
    port = service.environ["MEDIA_REST_PORT"]
    assert answer.json()["url"].startswith(f"http://localhost:{port}/v1/signed/")


def test_headers_keep_a_browser_from_running_content(http: httpx.Client, link: str) -> None:
    headers = http.get(link).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "sandbox" in headers["content-security-policy"]


def test_a_link_can_request_an_attachment(
    alice: httpx.Client, http: httpx.Client, media_id: str
) -> None:
    answer = http.get(sign(alice, media_id, attachment=True))
    assert answer.headers["content-disposition"] == 'attachment; filename="holiday.jpg"'


def test_a_range_is_206(http: httpx.Client, link: str, image: bytes) -> None:
    answer = http.get(link, headers={"range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, image[10:20])
    assert answer.headers["content-range"] == f"bytes 10-19/{len(image)}"
    outside = http.get(link, headers={"range": "bytes=900000-"})
    assert refusal(outside) == (416, "RANGE_NOT_SATISFIABLE")


def test_a_cached_response_is_304(http: httpx.Client, link: str) -> None:
    etag = http.get(link).headers["etag"]
    answer = http.get(link, headers={"if-none-match": etag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert http.get(link, headers={"if-match": '"other"'}).status_code == 412


def test_head_has_the_headers_of_get_and_no_body(http: httpx.Client, link: str) -> None:
    got, head = http.get(link), http.head(link)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "content-disposition", "accept-ranges"):
        assert head.headers[name] == got.headers[name]


def test_a_large_file_is_read_completely(alice: httpx.Client, http: httpx.Client) -> None:
    data = video_bytes(9 * MIB + 1)
    media = store(alice, data, "a.mp4")
    assert http.get(sign(alice, media["mediaId"])).content == data


@pytest.mark.parametrize(
    "filename",
    [
        *("", ".", "..", "...", "100%", "%2F", "%2e%2e", "a b+c", "a;b", "a?b#c&d"),
        *("a:watch", "a:signUrl", "größe 写真.jpg", "~tilde~", "x" * 255, "é" * 127),
    ],
)
def test_a_link_works_with_any_filename(
    alice: httpx.Client, http: httpx.Client, image: bytes, filename: str
) -> None:
    media = store(alice, image, "a.jpg")["mediaId"]
    changed = alice.patch(f"/v1/media/{media}?updateMask=filename", json={"filename": filename})
    assert changed.json()["filename"] == filename
    for link in (sign(alice, media), sign(alice, media, attachment=True)):
        assert http.get(link).content == image


def test_a_media_has_signed_urls_when_requested(
    alice: httpx.Client, http: httpx.Client, media_id: str, image: bytes
) -> None:
    assert alice.get(f"/v1/media/{media_id}").json()["readUrl"] == ""
    media = alice.get(f"/v1/media/{media_id}", params={"signReadUrls": "true"}).json()
    assert http.get(path_of(media["readUrl"])).content == image
    assert media["readUrlExpireTime"]


def test_an_invalid_link_reveals_nothing(
    service: Service, alice: httpx.Client, http: httpx.Client, link: str, media_id: str
) -> None:
    token = link.split("/")[3]
    signer = LinkSigner([key_from(service.secret)])
    claims = signer.open("read", token)
    expired = signer.sign("read", claims, now() - timedelta(seconds=1))
    answers = [
        http.get("/v1/signed/made.up.token/a.jpg"),
        http.get(f"/v1/signed/{expired}/a.jpg"),
        http.get(f"/v1/signed/{token[:-1]}/a.jpg"),
        http.get(f"/v1/signed/{signer.sign('write', claims, now() + timedelta(hours=1))}/a.jpg"),
        http.get(f"/v1/signed/{service.token('alice')}/a.jpg"),
    ]
    assert http.get(link).status_code == 200
    assert alice.delete(f"/v1/media/{media_id}").status_code == 200
    answers += [http.get(link), http.get(link, headers={"range": "bytes=0-1"})]
    for answer in answers:
        assert refusal(answer) == (403, "LINK_INVALID")
        assert answer.content == answers[0].content
        assert shown(answer) == shown(answers[0])
    assert http.head(link).status_code == 403


def shown(answer: httpx.Response) -> dict[str, str]:
    """The headers, except those that differ between responses."""
    return {k: v for k, v in answer.headers.items() if k not in {"date", "x-request-id"}}


def test_only_the_owner_signs_links(http: httpx.Client, service: Service, media_id: str) -> None:
    path = f"/v1/media/{media_id}:signUrl"
    others = http.post(path, json={}, headers=service.bearer("bob"))
    assert refusal(others) == (404, "MEDIA_NOT_FOUND")
    assert refusal(http.post(path, json={})) == (401, "TOKEN_MISSING")


def test_links_are_not_logged(
    service: Service, alice: httpx.Client, http: httpx.Client, link: str
) -> None:
    token = link.split("/")[3]
    asked = [
        http.get(link),
        http.head(link),
        http.get(link, params={"colour": "red"}),
        http.delete(link),
        http.put(f"/v1/signed/{token}", content=b"x"),
        http.get(f"/v1/signed/{token}"),
        http.get(f"/v1//signed//{token}/a"),
        http.get(f"/v1/signed/{token}%2Fa"),
        http.get(f"/v1%2Fsigned/{token}/a"),
        http.get(f"/v1/{token}/a"),
        http.get(f"/{token}"),
        http.get(f"/v1/signed/{token * 20}/a"),
        http.get(link, headers={"x-long": "x" * 40_000}),
    ]
    assert {200, 400, 404, 405, 431} <= {answer.status_code for answer in asked}
    log = service.data_dir / "envoy.log"
    ids = [answer.headers["x-request-id"] for answer in asked if "x-request-id" in answer.headers]
    assert len(ids) > len(asked) / 2
    eventually(lambda: all(name in log.read_text() for name in ids))
    assert "/mediaservice.v1.DownloadService/GetSigned" in log.read_text()
    # The characters that differ between tokens.
    assert not any(piece[:12] in log.read_text() for piece in token.split(".")[1:])
