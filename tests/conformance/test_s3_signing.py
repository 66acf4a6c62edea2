"""Signed S3 requests: any holder can use them, for exactly the signed bytes and lifetime."""

import base64
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from crc32c import crc32c

from media_service.storage.conformance.blobs import content, put, store
from media_service.storage.driver import PartName, SignedRequest, StoredPart
from media_service.storage.drivers.s3.driver import S3Driver
from tests.support.stores.s3_server import BUCKET
from tests.support.tools import NO_TLS, eventually

FIRST = b"first " * 1_000_000
HOUR = timedelta(hours=1)
NAME = PartName(1, 7)


async def signed(
    s3: S3Driver, key: str, session: str, data: bytes, lifetime: timedelta = HOUR
) -> SignedRequest:
    request = await s3.sign_part(key, session, NAME, len(data), crc32c(data), lifetime)
    assert request is not None
    return request


def send(request: SignedRequest, data: bytes, **headers: str) -> int:
    headers = {**request.headers, **{name.replace("_", "-"): v for name, v in headers.items()}}
    return httpx.put(
        request.url, content=data, headers=headers, trust_env=False, verify=NO_TLS
    ).status_code


def checksum_of(data: bytes) -> str:
    return base64.b64encode(crc32c(data).to_bytes(4)).decode()


# Parts


async def test_a_part_sent_to_a_signed_url_is_joined_like_any_other(s3: S3Driver, key: str) -> None:
    session = await s3.begin(key)
    request = await signed(s3, key, session, FIRST)
    assert await s3.stored_parts(key, session, [NAME]) == {}
    assert send(request, FIRST) == 200
    last = await put(s3, key, session, b"last", 2)
    assert await s3.stored_parts(key, session, [NAME, last.name, PartName(3, 1)]) == {
        NAME: (len(FIRST), crc32c(FIRST)),
        last.name: (4, crc32c(b"last")),
    }
    await s3.complete(key, session, [StoredPart(NAME, len(FIRST), sealed=True), last])
    assert await content(s3, key) == FIRST + b"last"


async def test_stored_parts_reads_every_page(
    s3: S3Driver, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await s3.begin(key)
    names = [(await put(s3, key, session, b"part", number)).name for number in range(1, 8)]
    client = await s3._client()
    real = client.list_parts
    monkeypatch.setattr(client, "list_parts", lambda **wanted: real(**wanted, MaxParts=3))
    assert await s3.stored_parts(key, session, names) == dict.fromkeys(names, (4, crc32c(b"part")))


async def test_size_and_checksum_are_signed_and_the_endpoint_is_kept(
    s3: S3Driver, s3_endpoint: str, key: str
) -> None:
    request = await signed(s3, key, await s3.begin(key), b"data")
    assert request.url.startswith(f"{s3_endpoint}/{BUCKET}/{s3.name(key)['Key']}?")
    asked = parse_qs(urlsplit(request.url).query)
    assert asked["X-Amz-SignedHeaders"] == ["content-length;host;x-amz-checksum-crc32c"]
    assert asked["X-Amz-Expires"] == ["3600"]
    assert request.headers == {"x-amz-checksum-crc32c": checksum_of(b"data")}


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"Data", b"data"),  # other bytes
        (b"Data", b"Data"),  # other bytes with their own checksum
        (b"data ", b"data"),  # more bytes
        (b"data ", b"data "),
        (b"dat", b"dat"),  # fewer bytes
        (b"", b""),
        (b"data", b"Data"),  # another checksum
    ],
)
async def test_only_the_signed_bytes_are_accepted(
    s3: S3Driver, key: str, data: bytes, checksum: bytes
) -> None:
    session = await s3.begin(key)
    request = await signed(s3, key, session, b"data")
    assert 400 <= send(request, data, x_amz_checksum_crc32c=checksum_of(checksum)) < 500
    assert await s3.stored_parts(key, session, [NAME]) == {}
    assert send(request, b"data") == 200


async def test_a_signed_part_needs_its_checksum(s3: S3Driver, key: str) -> None:
    session = await s3.begin(key)
    request = await signed(s3, key, session, b"data")
    assert (
        httpx.put(request.url, content=b"data", trust_env=False, verify=NO_TLS).status_code == 403
    )
    assert await s3.stored_parts(key, session, [NAME]) == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [("partNumber=1", "partNumber=2"), ("Expires=3600", "Expires=7200"), ("?", "x?")],
)
async def test_a_changed_part_url_is_refused(s3: S3Driver, key: str, old: str, new: str) -> None:
    session = await s3.begin(key)
    request = await signed(s3, key, session, b"data")
    assert old in request.url
    changed = SignedRequest(request.url.replace(old, new, 1), request.headers)
    assert send(changed, b"data") == 403
    assert await s3.stored_parts(key, session, [NAME, PartName(2, 1)]) == {}


async def test_a_part_url_cannot_be_used_to_read_or_list(s3: S3Driver, key: str) -> None:
    request = await signed(s3, key, await s3.begin(key), b"data")
    assert httpx.get(request.url, trust_env=False, verify=NO_TLS).status_code == 403
    assert httpx.delete(request.url, trust_env=False, verify=NO_TLS).status_code == 403


@pytest.mark.parametrize(
    ("lifetime", "seconds"),
    [(timedelta(seconds=1.9), "2"), (timedelta(seconds=2), "2"), (timedelta(days=8), "604800")],
)
async def test_the_lifetime_of_a_url_is_in_whole_seconds_and_at_most_a_week(
    s3: S3Driver, key: str, lifetime: timedelta, seconds: str
) -> None:
    part = await signed(s3, key, await s3.begin(key), b"data", lifetime)
    for url in (part.url, await reader(s3, key, lifetime)):
        assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == [seconds]


async def test_a_part_url_expires(s3: S3Driver, key: str) -> None:
    session = await s3.begin(key)
    request = await signed(s3, key, session, b"data", timedelta(seconds=1))
    eventually(lambda: send(request, b"data") == 403)


async def test_a_part_url_is_invalid_once_its_upload_has_ended(
    s3: S3Driver, fresh_key: Callable[[], str]
) -> None:
    finished, aborted = fresh_key(), fresh_key()
    sessions = {key: await s3.begin(key) for key in (finished, aborted)}
    requests = {key: await signed(s3, key, session, b"late") for key, session in sessions.items()}
    part = await put(s3, finished, sessions[finished], b"whole")
    await s3.complete(finished, sessions[finished], [part])
    await s3.abort(aborted, sessions[aborted])
    for key in (finished, aborted):
        assert send(requests[key], b"late") == 404
        assert await s3.stored_parts(key, sessions[key], [NAME]) == {}
    assert await content(s3, finished) == b"whole"
    assert await s3.stat(aborted) is None
    assert [blob async for blob in s3.list_open()] == []


async def test_no_part_is_signed_for_a_store_that_does_not_check_it(
    seaweed: S3Driver, key: str
) -> None:
    session = await seaweed.begin(key)
    other_process = S3Driver(seaweed.location)
    for driver in (seaweed, other_process):
        assert await driver.sign_part(key, session, NAME, 4, crc32c(b"data"), HOUR) is None
    await other_process.close()
    await seaweed.complete(key, session, [await put(seaweed, key, session, b"data")])
    answer = httpx.get(await reader(seaweed, key), trust_env=False, verify=NO_TLS)
    assert answer.content == b"data"


# Reading

NASTY = "attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%26%20%22so%22.png"


async def reader(s3: S3Driver, key: str, lifetime: timedelta = HOUR) -> str:
    url = await s3.sign_read(key, lifetime, "image/png", NASTY)
    assert url is not None
    return url


async def test_a_signed_url_reads_the_blob(s3: S3Driver, key: str) -> None:
    await store(s3, key, b"0123456789")
    url = await reader(s3, key)
    whole = httpx.get(url, trust_env=False, verify=NO_TLS)
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["content-disposition"] == NASTY
    piece = httpx.get(url, headers={"Range": "bytes=2-4"}, trust_env=False, verify=NO_TLS)
    assert (piece.status_code, piece.content) == (206, b"234")


async def test_without_overrides_the_store_chooses_the_response_headers(
    s3: S3Driver, key: str
) -> None:
    await s3.put(key, b"data", "image/webp")
    url = await s3.sign_read(key, HOUR, "", "")
    assert url is not None
    answer = httpx.get(url, trust_env=False, verify=NO_TLS)
    assert (answer.content, answer.headers["content-type"]) == (b"data", "image/webp")
    assert "content-disposition" not in answer.headers


@pytest.mark.parametrize(
    ("old", "new"),
    [(quote("image/png", safe=""), quote("text/html", safe="")), ("=3600", "=7200"), ("?", "x?")],
)
async def test_a_changed_read_url_is_refused(s3: S3Driver, key: str, old: str, new: str) -> None:
    await store(s3, key, b"data")
    await store(s3, f"{key}x", b"not yours")
    url = await reader(s3, key)
    assert old in url
    answer = httpx.get(url.replace(old, new, 1), trust_env=False, verify=NO_TLS)
    assert answer.status_code == 403
    assert b"yours" not in answer.content


async def test_a_read_url_expires(s3: S3Driver, key: str) -> None:
    await store(s3, key, b"data")
    url = await reader(s3, key, timedelta(seconds=1))
    eventually(lambda: httpx.get(url, trust_env=False, verify=NO_TLS).status_code == 403)
