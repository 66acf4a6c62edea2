"""Signed Cloud Storage requests. The test server ignores signatures, so the tests verify them
as Google documents it."""

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import httpx
import pytest
from crc32c import crc32c
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from media_service.errors import Unavailable
from media_service.ids import new_id
from media_service.storage.conformance.blobs import content, put, store
from media_service.storage.driver import PartName, StoredPart
from media_service.storage.drivers.gcs.driver import GcsDriver
from tests.support.stores.gcs_server import GCS_BUCKET
from tests.support.stores.service_account import EMAIL, service_account
from tests.support.tools import NO_TLS

HOUR = timedelta(hours=1)
NAME = PartName(1, 7)
NASTY = "attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%26%20%22so%22.png"


@pytest.fixture
def public_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RSAPublicKey:
    path = tmp_path / "service.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    return service_account(path, "http://127.0.0.1:9/token")


@pytest.fixture
async def signing(public_key: RSAPublicKey, gcs_endpoint: str) -> AsyncIterator[GcsDriver]:
    driver = GcsDriver(GCS_BUCKET, f"tests/with space/{new_id()}/", gcs_endpoint)
    yield driver
    await driver.close()


def verify(key: RSAPublicKey, method: str, url: str, headers: dict[str, str]) -> None:
    """https://cloud.google.com/storage/docs/access-control/signing-urls-manually"""
    parts = urlsplit(url)
    query, _, signature = parts.query.partition("&X-Goog-Signature=")
    assert query.split("&") == sorted(query.split("&"))
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    sent = {**headers, "host": parts.netloc}
    assert asked["X-Goog-SignedHeaders"] == ";".join(sorted(sent))
    lines = [f"{name}:{sent[name]}" for name in sorted(sent)]
    request = [method, parts.path, query, *lines, "", ";".join(sorted(sent)), "UNSIGNED-PAYLOAD"]
    email, _, scope = asked["X-Goog-Credential"].partition("/")
    assert email == EMAIL
    assert scope == f"{asked['X-Goog-Date'][:8]}/auto/storage/goog4_request"
    digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
    text = "\n".join(["GOOG4-RSA-SHA256", asked["X-Goog-Date"], scope, digest])
    key.verify(bytes.fromhex(signature), text.encode(), PKCS1v15(), SHA256())


async def test_a_part_sent_to_a_signed_url_is_joined_like_any_other(
    signing: GcsDriver, public_key: RSAPublicKey, gcs_endpoint: str, key: str
) -> None:
    session = await signing.begin(key)
    request = await signing.sign_part(key, session, NAME, 5, crc32c(b"first"), HOUR)
    assert request is not None
    assert await signing.stored_parts(key, session, [NAME]) == {}
    verify(public_key, "PUT", request.url, dict(request.headers))
    assert request.url.startswith(f"{gcs_endpoint}/{GCS_BUCKET}/tests/with%20space/")
    assert request.headers == {
        "x-goog-content-length-range": "5,5",
        "x-goog-hash": "crc32c=ij6hUA==",
        "x-goog-if-generation-match": "0",
    }
    answer = httpx.put(
        request.url, content=b"first", headers=dict(request.headers), trust_env=False, verify=NO_TLS
    )
    assert answer.status_code == 200
    last = await put(signing, key, session, b" last", 2)
    assert await signing.stored_parts(key, session, [NAME, last.name, PartName(3, 1)]) == {
        NAME: (5, crc32c(b"first")),
        last.name: (5, crc32c(b" last")),
    }
    with pytest.raises(RuntimeError):  # the part has the same name as one from a writer
        await put(signing, key, session, b"other", NAME.number, NAME.epoch)
    await signing.complete(key, session, [StoredPart(NAME, 5, sealed=True), last])
    assert await content(signing, key) == b"first last"


async def test_a_late_part_does_not_change_the_blob(signing: GcsDriver, key: str) -> None:
    session = await signing.begin(key)
    request = await signing.sign_part(key, session, NAME, 4, crc32c(b"late"), HOUR)
    assert request is not None
    await signing.complete(key, session, [await put(signing, key, session, b"whole")])
    httpx.put(
        request.url, content=b"late", headers=dict(request.headers), trust_env=False, verify=NO_TLS
    )
    assert await content(signing, key) == b"whole"
    (left,) = [blob async for blob in signing.list_open()]
    assert left.key == key
    await signing.abort(left.key, left.session)
    assert await content(signing, key) == b"whole"


async def test_a_signed_url_reads_the_blob(
    signing: GcsDriver, public_key: RSAPublicKey, key: str
) -> None:
    await store(signing, key, b"0123456789")
    url = await signing.sign_read(key, HOUR, "image/png", NASTY)
    assert url is not None
    verify(public_key, "GET", url, {})
    asked = parse_qs(urlsplit(url).query)
    assert asked["response-content-type"] == ["image/png"]
    assert asked["response-content-disposition"] == [NASTY]
    assert asked["X-Goog-Expires"] == ["3600"]
    assert httpx.get(url, trust_env=False, verify=NO_TLS).content == b"0123456789"
    piece = httpx.get(url, headers={"Range": "bytes=2-4"}, trust_env=False, verify=NO_TLS)
    assert (piece.status_code, piece.content) == (206, b"234")


async def test_without_overrides_the_store_chooses_the_response_headers(
    signing: GcsDriver, public_key: RSAPublicKey, key: str
) -> None:
    url = await signing.sign_read(key, HOUR, "", "")
    assert url is not None
    verify(public_key, "GET", url, {})
    assert "response-content" not in url


@pytest.mark.parametrize(
    ("lifetime", "seconds"), [(timedelta(seconds=1.9), "2"), (timedelta(days=8), "604800")]
)
async def test_the_lifetime_of_a_url_is_in_whole_seconds_and_at_most_a_week(
    signing: GcsDriver, key: str, lifetime: timedelta, seconds: str
) -> None:
    url = await signing.sign_read(key, lifetime, "", "")
    assert url is not None
    assert parse_qs(urlsplit(url).query)["X-Goog-Expires"] == [seconds]


@pytest.mark.parametrize(
    ("old", "new"),
    [("Expires=3600", "Expires=7200"), (quote("image/png", safe=""), "text"), ("blobs", "other")],
)
async def test_the_signature_covers_every_part_of_the_url(
    signing: GcsDriver, public_key: RSAPublicKey, key: str, old: str, new: str
) -> None:
    url = await signing.sign_read(key, HOUR, "image/png", NASTY)
    assert url is not None
    assert old in url
    with pytest.raises(InvalidSignature):
        verify(public_key, "GET", url.replace(old, new, 1), {})


async def test_the_default_host_is_google(public_key: RSAPublicKey, key: str) -> None:
    driver = GcsDriver("media", "", None)
    url = await driver.sign_read(f"{key}/größe", HOUR, "", "")
    assert url is not None
    assert unquote(url).startswith(f"https://storage.googleapis.com/media/{key}/größe?")
    verify(public_key, "GET", url, {})
    await driver.close()


async def test_without_a_key_nothing_is_signed(
    gcs: GcsDriver, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert await gcs.sign_part(key, "", NAME, 4, 0, HOUR) is None
    assert await gcs.sign_read(key, HOUR, "image/png", "") is None


async def test_an_unreadable_key_is_reported(signing: GcsDriver, tmp_path: Path, key: str) -> None:
    path = tmp_path / "service.json"
    credentials = json.loads(path.read_text())
    path.write_text(json.dumps({**credentials, "private_key": "not a key"}))
    with pytest.raises(Unavailable, match="GOOGLE_APPLICATION_CREDENTIALS"):
        await signing.sign_read(key, HOUR, "", "")
