"""Content over REST (GetContent) as RFC 9110 specifies it, through Envoy."""

import http.client
import os
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import jwt
import pytest

from media_service.ids import new_id
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rest import (
    client_of,
    content,
    digest,
    files_with,
    open_request,
    refusal,
    settled,
    store,
)
from tests.support.service import Service
from tests.support.tools import eventually, require_tool

MIB = 1 << 20
LONG_AGO = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.fixture(scope="module")
def image() -> bytes:
    """A unique image."""
    return jpeg() + os.urandom(32)


@pytest.fixture(scope="module")
def path(service: Service, image: bytes) -> str:
    """The path of the image's content."""
    with client_of(service, "alice") as client:
        return f"/v1/media/{store(client, image, 'holiday.jpg')['mediaId']}/content"


@pytest.fixture
def etag(alice: httpx.Client, path: str) -> str:
    return str(alice.head(path).headers["etag"])


def test_content_is_returned_unchanged(alice: httpx.Client, path: str, image: bytes) -> None:
    answer = alice.get(path)
    assert (answer.status_code, answer.content) == (200, image)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-length"] == str(len(image))
    assert answer.headers["accept-ranges"] == "bytes"
    assert "last-modified" in answer.headers


def test_a_large_file_is_returned_completely(alice: httpx.Client) -> None:
    data = video_bytes(9 * MIB + 1)
    media = store(alice, data, "a.mp4")
    assert content(alice, media["mediaId"]) == data


def test_content_has_the_digest_of_the_whole_file(
    alice: httpx.Client, path: str, image: bytes
) -> None:
    for headers in ({}, {"range": "bytes=0-9"}):
        digests = alice.get(path, headers=headers).headers["repr-digest"].split(", ")
        assert digest(image) in digests


def test_headers_keep_a_browser_from_running_and_sharing_content(
    alice: httpx.Client, path: str
) -> None:
    headers = alice.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "sandbox" in headers["content-security-policy"]
    assert headers["cache-control"] == "private, no-cache"
    assert "authorization" in headers["vary"].lower()


# Ranges


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-199", slice(100, 200)),
        ("bytes=0-0", slice(0, 1)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=-99999999", slice(0, None)),
        ("bytes=5-99999999", slice(5, None)),
        ("BYTES=0-9", slice(0, 10)),
    ],
)
def test_a_range_is_206_with_exactly_those_bytes(
    alice: httpx.Client, path: str, image: bytes, wanted: str, part: slice
) -> None:
    answer = alice.get(path, headers={"range": wanted})
    start, stop, _ = part.indices(len(image))
    assert (answer.status_code, answer.content) == (206, image[part])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(image)}"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize(
    "wanted", ["bytes=0-0,5-6", "items=0-4", "bytes=9-3", "bytes=x", "nothing"]
)
def test_an_unsupported_range_header_gets_the_whole_content(
    alice: httpx.Client, path: str, image: bytes, wanted: str
) -> None:
    answer = alice.get(path, headers={"range": wanted})
    assert (answer.status_code, answer.content) == (200, image)


@pytest.mark.parametrize(
    "wanted", ["bytes=99999999-", "bytes=99999999-199999999", "bytes=-0", f"bytes={2**64}-"]
)
def test_a_range_past_the_end_is_416_with_the_length(
    alice: httpx.Client, path: str, image: bytes, wanted: str
) -> None:
    answer = alice.get(path, headers={"range": wanted})
    assert refusal(answer) == (416, "RANGE_NOT_SATISFIABLE")
    assert answer.headers["content-range"] == f"bytes */{len(image)}"


def test_curl_continues_a_download(
    service: Service, path: str, image: bytes, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(image[:100])
    subprocess.run(
        [
            *(require_tool("curl"), "--silent", "--fail", "--noproxy", "*", "--continue-at", "-"),
            *("--header", f"Authorization: Bearer {service.token('alice')}"),
            *("--output", str(copy), service.base_url + path),
        ],
        check=True,
        timeout=30,
    )
    assert copy.read_bytes() == image


# Conditions


def test_a_matching_condition_is_304(alice: httpx.Client, path: str, etag: str) -> None:
    modified = alice.head(path).headers["last-modified"]
    for headers in (
        {"if-none-match": etag},
        {"if-none-match": f'"other", W/{etag}'},
        {"if-none-match": "*"},
        {"if-modified-since": modified},
    ):
        answer = alice.get(path, headers=headers)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        # A content-length would have to be that of the content.
        assert "content-length" not in answer.headers


def test_a_non_matching_condition_gets_the_content(
    alice: httpx.Client, path: str, image: bytes
) -> None:
    for headers in (
        {"if-none-match": '"other"'},
        {"if-modified-since": LONG_AGO},
        {"if-modified-since": "yesterday"},
        # An entity tag takes precedence over a date.
        {"if-none-match": '"other"', "if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    ):
        answer = alice.get(path, headers=headers)
        assert (answer.status_code, answer.content) == (200, image)


def test_a_failed_precondition_is_412(alice: httpx.Client, path: str, etag: str) -> None:
    for wrong in (
        {"if-match": '"other"'},
        {"if-match": f"W/{etag}"},
        {"if-unmodified-since": LONG_AGO},
    ):
        assert refusal(alice.get(path, headers=wrong)) == (412, "PRECONDITION_FAILED")
    for right in ({"if-match": etag}, {"if-match": "*"}):
        assert alice.get(path, headers=right).status_code == 200


def test_if_range_gets_a_range_only_of_the_known_content(
    alice: httpx.Client, path: str, etag: str
) -> None:
    modified = alice.head(path).headers["last-modified"]
    for known, status in {
        etag: 206,
        modified: 206,
        '"other"': 200,
        f"W/{etag}": 200,
        LONG_AGO: 200,
    }.items():
        answer = alice.get(path, headers={"range": "bytes=0-9", "if-range": known})
        assert answer.status_code == status


# HEAD


@pytest.fixture
def connection(service: Service) -> Iterator[http.client.HTTPConnection]:
    """A kept-alive connection that would read stray bytes after a response as the next one."""
    address = urlsplit(service.base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    yield connection
    connection.close()


def test_head_has_the_length_but_no_body_and_keeps_the_connection(
    service: Service, connection: http.client.HTTPConnection, path: str, image: bytes
) -> None:
    bearer = service.bearer("alice")
    connection.connect()
    socket_before = connection.sock
    for headers, status, length in (
        ({}, 200, len(image)),
        ({"range": "bytes=0-9"}, 206, 10),
        ({"if-none-match": "*"}, 304, None),
    ):
        connection.request("HEAD", path, headers={**bearer, **headers})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"")
        if length is not None:
            assert answer.headers["content-length"] == str(length)
        connection.request("GET", path, headers=bearer)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, image)
    connection.request("GET", path, headers={**bearer, "if-none-match": "*"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (304, b"")
    connection.request("HEAD", "/v1/media/no-id/content", headers=bearer)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (400, b"")
    assert connection.sock is socket_before


# Names


def disposition(client: httpx.Client, media: str, **params: str) -> str:
    answer = client.get(f"/v1/media/{media}/content", params=params)
    return str(answer.headers["content-disposition"])


@pytest.mark.parametrize(
    ("name", "plain"),
    [("Ünïcode – 写真.jpg", "_n_code _ __.jpg"), ('say "hi" 100%.jpg', "say _hi_ 100_.jpg")],
)
def test_a_filename_is_kept_in_any_script(alice: httpx.Client, name: str, plain: str) -> None:
    media = store(alice, jpeg(), name)["mediaId"]
    shown = disposition(alice, media)
    assert shown.startswith("inline; ")
    assert f'filename="{plain}"' in shown
    assert f"filename*=UTF-8''{quote(name, safe='')}" in shown


def test_content_is_an_attachment_when_requested(alice: httpx.Client) -> None:
    media = store(alice, jpeg(), "a.jpg")["mediaId"]
    assert disposition(alice, media) == 'inline; filename="a.jpg"'
    assert disposition(alice, media, attachment="true") == 'attachment; filename="a.jpg"'


# Callers


def test_content_of_another_owner_does_not_exist(service: Service, path: str) -> None:
    with client_of(service, "mallory") as mallory:
        assert refusal(mallory.get(path)) == (404, "MEDIA_NOT_FOUND")
        assert mallory.head(path).status_code == 404
    with client_of(service, "alice", org="other") as other:
        assert refusal(other.get(path)) == (404, "MEDIA_NOT_FOUND")


def test_an_unknown_id_is_404_and_a_malformed_one_400(alice: httpx.Client) -> None:
    answer = alice.get(f"/v1/media/{new_id()}/content")
    assert refusal(answer) == (404, "MEDIA_NOT_FOUND")
    for wrong in ("no-id", "..%20", "'", new_id() + "0"):
        assert refusal(alice.get(f"/v1/media/{wrong}/content")) == (400, "INVALID_FIELD")


def test_content_of_a_deleted_media_is_404_until_undeleted(alice: httpx.Client) -> None:
    data = jpeg()
    media = store(alice, data)["mediaId"]
    alice.delete(f"/v1/media/{media}")
    assert refusal(alice.get(f"/v1/media/{media}/content")) == (410, "MEDIA_DELETED")
    alice.post(f"/v1/media/{media}:undelete")
    assert content(alice, media) == data


def signed(service: Service, secret: str = "", **claims: object) -> str:
    """A token of alice with other claims, or signed with another secret."""
    usual = {"sub": "alice", "exp": datetime.now(UTC) + timedelta(hours=1)}
    return jwt.encode({**usual, **claims}, secret or service.secret, algorithm="HS256")


def test_an_invalid_token_is_401(service: Service, http: httpx.Client, path: str) -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    good = signed(service)
    for token, reason in {
        "": "TOKEN_MISSING",
        "nonsense": "TOKEN_INVALID",
        good[:-4] + "AAAA": "TOKEN_INVALID",
        signed(service, secret="x" * 32): "TOKEN_INVALID",
        jwt.encode({"sub": "alice"}, "", algorithm="none"): "TOKEN_INVALID",
        signed(service, exp=hour_ago): "TOKEN_EXPIRED",
    }.items():
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = http.get(path, headers=headers)
        assert refusal(answer) == (401, reason)
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_without_the_scope_is_403(service: Service, path: str) -> None:
    with client_of(service, "alice", scope="uploads.write") as narrow:
        assert refusal(narrow.get(path)) == (403, "SCOPE_MISSING")


# Lost bytes


def test_missing_bytes_are_500_with_a_reason(service: Service, alice: httpx.Client) -> None:
    data = video_bytes(1000)
    media = store(alice, data)["mediaId"]
    settled(alice, media)
    (file,) = files_with(service, data)
    file.unlink()
    for headers in ({}, {"range": "bytes=5-9"}):
        answer = alice.get(f"/v1/media/{media}/content", headers=headers)
        assert refusal(answer) == (500, "BLOB_MISSING")


def test_a_truncated_file_breaks_the_response_rather_than_ending_it(
    service: Service, alice: httpx.Client
) -> None:
    data = video_bytes(4 * MIB)
    media = store(alice, data)["mediaId"]
    settled(alice, media)
    (file,) = files_with(service, data)
    os.truncate(file, 2 * MIB)
    received: list[bytes] = []
    with alice.stream("GET", f"/v1/media/{media}/content") as answer:
        assert answer.headers["content-length"] == str(len(data))
        with pytest.raises(httpx.TransportError):
            received.extend(answer.iter_raw())
    assert len(b"".join(received)) < len(data)
    assert data.startswith(b"".join(received))


# Callers that disconnect


def test_an_abandoned_download_leaves_no_file_open(service: Service, alice: httpx.Client) -> None:
    data = video_bytes(64 * MIB)
    media = store(alice, data)["mediaId"]
    server = service.part("serve")

    def held() -> bool:
        return any(str(service.data_dir / "raw") in file.path for file in server.open_files())

    eventually(lambda: not held())
    path = f"/v1/media/{media}/content"
    with open_request(service, "alice", "GET", path) as connection:
        assert connection.recv(1024).startswith(b"HTTP/1.1 200 OK")
        assert held()  # the rest waits for a caller that does not read
    eventually(lambda: not held())


def test_concurrent_downloads_of_one_media_succeed(
    service: Service, path: str, image: bytes
) -> None:
    connections = [open_request(service, "alice", "GET", path) for _ in range(20)]
    try:
        for connection in connections:
            assert image in until_quiet(connection, len(image))
    finally:
        for connection in connections:
            connection.close()


def until_quiet(connection: socket.socket, body: int) -> bytes:
    """Reads the headers and `body` bytes."""
    data = connection.recv(65536)
    while len(data.partition(b"\r\n\r\n")[2]) < body:
        data += connection.recv(65536)
    return data
