"""Public renditions over REST (GetPublic), through Envoy."""

import hashlib
import stat
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.media.small_files import jpeg
from tests.support.rest import add_rendition, digest, public_url, refusal, show, store
from tests.support.service import Service
from tests.support.tools import eventually

SMALL = b"a small image"


@pytest.fixture
def media_id(service: Service, alice: httpx.Client) -> str:
    """A private media with a rendition."""
    media_id = str(store(alice, jpeg(), "beach.jpg")["mediaId"])
    add_rendition(service, media_id, "given", SMALL)
    return media_id


@pytest.fixture
def path(service: Service, alice: httpx.Client, media_id: str) -> str:
    """The public path of the rendition, once it is public."""
    show(alice, media_id, "PUBLIC")
    url = public_url(alice, media_id, "given")
    # Its host is the name `localhost`.
    assert url.startswith(f"http://localhost:{urlsplit(service.base_url).port}/v1/public/")
    return urlsplit(url).path


def test_a_public_rendition_is_cacheable_and_needs_no_token(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.content) == (200, SMALL)
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["content-length"] == str(len(SMALL))
    assert answer.headers["cache-control"] == "public, max-age=3000, stale-while-revalidate=600"
    assert digest(SMALL) in answer.headers["repr-digest"]
    assert answer.headers["content-disposition"] == "inline"
    assert "authorization" not in answer.headers.get("vary", "").lower()


def test_public_renditions_support_ranges_conditions_and_head(
    http: httpx.Client, path: str
) -> None:
    whole = http.get(path)
    part = http.get(path, headers={"range": "bytes=2-6"})
    assert (part.status_code, part.content) == (206, SMALL[2:7])
    assert part.headers["content-range"] == f"bytes 2-6/{len(SMALL)}"
    same = http.get(path, headers={"if-none-match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["cache-control"] == "public, max-age=3000, stale-while-revalidate=600"
    head = http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(SMALL))
    past = http.get(path, headers={"range": "bytes=100-"})
    assert refusal(past) == (416, "RANGE_NOT_SATISFIABLE")
    other = http.get(path, headers={"if-match": '"other"'})
    assert refusal(other) == (412, "PRECONDITION_FAILED")


def test_an_unpublished_rendition_is_404_at_once(
    service: Service, http: httpx.Client, alice: httpx.Client, media_id: str, path: str
) -> None:
    file = service.data_dir / "public" / path.removeprefix("/v1/public/")
    assert file.read_bytes() == SMALL
    media = show(alice, media_id, "PRIVATE")
    assert not any(rendition["publicUrl"] for rendition in media["renditions"])
    assert refusal(http.get(path)) == (404, "MEDIA_NOT_FOUND")
    eventually(lambda: not file.exists())
    answer = alice.get(f"/v1/media/{media_id}/renditions/given/content")
    assert (answer.status_code, answer.content) == (200, SMALL)


def test_a_public_rendition_is_404_while_its_media_is_deleted(
    service: Service, http: httpx.Client, alice: httpx.Client, media_id: str, path: str
) -> None:
    file = service.data_dir / "public" / path.removeprefix("/v1/public/")
    alice.delete(f"/v1/media/{media_id}").raise_for_status()
    assert refusal(http.get(path)) == (404, "MEDIA_NOT_FOUND")
    eventually(lambda: not file.exists())
    alice.post(f"/v1/media/{media_id}:undelete", json={}).raise_for_status()
    again = urlsplit(public_url(alice, media_id, "given")).path
    assert again != path  # a cached response of the old path is not used again
    assert http.get(again).content == SMALL


@pytest.mark.parametrize("path", ["blobs/00/none", "..%2F..%2Fjwt-secret", "%00", "a/../../raw"])
def test_a_private_rendition_is_404_under_the_public_path(http: httpx.Client, path: str) -> None:
    assert http.get(f"/v1/public/{path}").status_code in {400, 404}


def test_the_owner_reads_a_rendition_of_a_private_media(
    alice: httpx.Client, http: httpx.Client, media_id: str
) -> None:
    content = f"/v1/media/{media_id}/renditions/given/content"
    answer = alice.get(content)
    assert (answer.status_code, answer.content) == (200, SMALL)
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["content-disposition"] == 'inline; filename="beach-given.webp"'
    assert alice.head(content).headers["content-length"] == str(len(SMALL))
    assert refusal(http.get(content)) == (401, "TOKEN_MISSING")
    none = alice.get(f"/v1/media/{media_id}/renditions/huge/content")
    assert refusal(none) == (404, "RENDITION_NOT_FOUND")


def test_a_link_opens_a_rendition(alice: httpx.Client, http: httpx.Client, media_id: str) -> None:
    signed = alice.post(f"/v1/media/{media_id}:signUrl", json={"rendition": "given"}).json()
    path = urlsplit(signed["url"]).path
    assert path.endswith("/beach-given.webp")
    assert http.get(path).content == SMALL


def test_a_large_rendition_is_moved_completely(
    service: Service, alice: httpx.Client, http: httpx.Client
) -> None:
    """It is larger than one part."""
    data = hashlib.shake_256(b"a stream").digest(20 << 20)
    media_id = str(store(alice, jpeg())["mediaId"])
    add_rendition(service, media_id, "video", data)
    show(alice, media_id, "PUBLIC")
    assert http.get(urlsplit(public_url(alice, media_id, "video")).path).content == data


def test_the_data_directory_is_closed_to_other_users_of_the_machine(service: Service) -> None:
    """A CDN reads a bucket, never this directory."""
    assert stat.S_IMODE((service.data_dir / "public").stat().st_mode) == 0o700
